"""Log lines as text and as JSON, where they were asked for."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ossfs_resume.cli import logs
from ossfs_resume.errors import SettingsError


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("ossfs_resume")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def test_json_lines_have_level_logger_message_and_traceback(tmp_path: Path) -> None:
    logs.configure("info", "json", tmp_path / "log", background=False)
    log = logging.getLogger("ossfs_resume.x")
    log.info("one %s", "two")
    log.debug("not shown")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        log.exception("bad")
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (first["level"], first["logger"], first["message"]) == (
        "info",
        "ossfs_resume.x",
        "one two",
    )
    assert "ZeroDivisionError" in second["traceback"]


def test_whoever_chooses_a_name_writes_no_line_of_his_own(tmp_path: Path) -> None:
    """Nor does a name that is no text cost the line that tells of it."""
    logs.configure("info", "text", tmp_path / "log", background=False)
    logging.getLogger("ossfs_resume.x").warning("%s: bad", "a\nFORGED \x1b[31m\udcff")
    [line] = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(r"WARNING a\nFORGED \x1b[31m\xff: bad")


def test_other_libraries_are_heard_from_warnings_on(tmp_path: Path) -> None:
    logs.configure("debug", "text", tmp_path / "log", background=True)
    logging.getLogger("httpx").info("chatter")
    logging.getLogger("httpx").warning("trouble")
    text = (tmp_path / "log").read_text()
    assert "trouble" in text
    assert "chatter" not in text


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--log-file"):
        logs.configure("info", "text", tmp_path, background=False)
