"""Messages count, quote what is to be pasted, and say why without Python's own words."""

import errno
import os
import subprocess

import pytest

from ossfs_resume.wording import counted, quoted, reason


def test_one_is_not_many() -> None:
    assert [counted(number, "problem") for number in (0, 1, 2)] == [
        "0 problems",
        "1 problem",
        "2 problems",
    ]


@pytest.mark.parametrize("text", ["/a/b-c_d.e", "oss://b@[::1]:9/k", "ключ/日本"])
def test_what_needs_no_quotes_mostly_gets_none(text: str) -> None:
    assert quoted(text).strip("'") == text


@pytest.mark.parametrize(
    "text",
    ["a b", "it's", "a\nb\t\x1b[31m", "x\udcffy", "~", "$(reboot)", "a\\b'\n", "", "\x81é\n"],
)
def test_a_shell_takes_it_back(text: str) -> None:
    command = ["bash", "-c", f"printf %s {quoted(text)}"]
    result = subprocess.run(command, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert os.fsdecode(result.stdout) == text
    assert quoted(text).isprintable()


def test_why_it_failed() -> None:
    assert reason(OSError(errno.ENOSPC, "No space left on device")) == "no space left on device"
    refused = PermissionError(errno.EACCES, "Permission denied", "/a b")
    assert reason(refused) == "'/a b': permission denied"
    assert reason(ValueError("odd")) == "odd"
