"""Log lines as text and as JSON, where they were asked for."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ossfs_resume.cli import logs
from ossfs_resume.errors import AccessDenied, SettingsError
from support.waiting import eventually


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


def test_times_are_in_utc_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    logs.configure("info", "text", tmp_path / "log", background=False)
    logging.getLogger("ossfs_resume.x").info("now")
    monkeypatch.undo()
    time.tzset()
    stamp = (tmp_path / "log").read_text().split()[0]
    assert stamp.endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds() < 3600


def test_a_json_line_has_the_fields_of_what_happened(tmp_path: Path) -> None:
    logs.configure("info", "json", tmp_path / "log", background=False)
    error = AccessDenied("no", status=403, code="AccessDenied", request_id="5F")
    fields = {"key": "a b", "first": 0, "stop": 9, "other": 1}
    logging.getLogger("ossfs_resume.x").info("x", extra=fields | error.fields)
    line = json.loads((tmp_path / "log").read_text())
    assert (line["key"], line["first"], line["stop"]) == ("a b", 0, 9)
    assert (line["status"], line["code"], line["request_id"]) == (403, "AccessDenied", "5F")
    assert "other" not in line


def test_a_file_that_was_moved_away_is_left_for_a_new_one(tmp_path: Path) -> None:
    logs.configure("info", "text", tmp_path / "log", background=False)
    logger = logging.getLogger("ossfs_resume.x")
    logger.info("first")
    (tmp_path / "log").rename(tmp_path / "log.1")
    logs.reopen()
    logger.info("second")
    assert "first" in (tmp_path / "log.1").read_text()
    assert "second" not in (tmp_path / "log.1").read_text()
    assert "second" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_opened_anew_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    logs.configure("info", "text", tmp_path / "d/log", background=False)
    (tmp_path / "d").rename(tmp_path / "e")
    logs.reopen()
    logging.getLogger("ossfs_resume.x").info("second")
    text = (tmp_path / "e/log").read_text()
    assert "cannot open the log anew: " in text
    assert "second" in text


@pytest.mark.parametrize("level", ["warning", "info", "debug"])
def test_debug_is_switched_on_and_off(tmp_path: Path, level: str) -> None:
    logs.configure(level, "text", tmp_path / "log", background=False)
    logger = logging.getLogger("ossfs_resume.x")
    if level == "debug":
        logs.toggle_debug()
    logger.debug("hidden 1")
    logs.toggle_debug()
    logger.debug("shown 1")
    logs.toggle_debug()
    logger.debug("hidden 2")
    logger.warning("shown 2")
    text = (tmp_path / "log").read_text()
    assert text.count("shown") == 2
    assert "hidden" not in text
    assert "the log level is debug now" in text


class Stuck(logging.Handler):
    """Writes nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.may_go_on.wait()
        self.lines.append(record.getMessage())


def test_a_log_that_is_stuck_holds_up_nobody_and_says_what_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "MOST_LINES", 100)
    target = Stuck()
    spool = logs.Spool(target, logging.INFO)
    logger = logging.getLogger("ossfs_resume.stuck")
    logger.addHandler(spool)
    waited = []

    def wait_for(self: threading.Condition, *arguments: object) -> bool:
        waited.append(arguments)
        return original(self, *arguments)

    original = threading.Condition.wait_for
    try:
        logger.warning("%s", "first")
        monkeypatch.setattr(threading.Condition, "wait_for", wait_for)
        for number in range(150):
            logger.warning("%d", number)
        assert waited == []
        target.may_go_on.set()
        monkeypatch.undo()
        eventually(lambda: target.lines[-1:] == ["50 lines lost: the log could not be written"])
        assert target.lines[:3] == ["first", "0", "1"]
        assert len(target.lines) == 102
    finally:
        target.may_go_on.set()
        logger.removeHandler(spool)
        spool.close()


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="No such device or address"):
        logs.configure("info", "text", tmp_path / "pipe", background=False)
