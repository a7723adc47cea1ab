"""The command line as a user meets it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ossfs_resume.cli import PURPOSES
from ossfs_resume.options import GROUPS, OPTIONS
from support.emulator import EmulatorProcess


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ossfs_resume", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["mount", "--help"], ["umount", "--help"], ["emulate", "--help"]]
)
def test_help_is_complete_and_quiet(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 0
    assert result.stdout.startswith("Usage:")
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("mnt", "no such command: mnt; did you mean mount?"),
        ("umonut", "no such command: umonut; did you mean umount?"),
        ("nonsense", "no such command: nonsense"),
    ],
)
def test_a_misspelt_command_is_answered_with_the_nearest(typed: str, told: str) -> None:
    result = run(typed)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == f"Error: {told}"


@pytest.mark.parametrize("limit", ["--nofile=12", "--nofile=24", "--as=50000000"])
def test_a_limit_that_is_too_low_is_told_in_the_last_line(
    emulator: EmulatorProcess, tmp_path: Path, limit: str
) -> None:
    (tmp_path / "mnt").mkdir()
    words = ["mount", "--endpoint", emulator.url, "--region", emulator.region]
    words += ["--cache-dir", str(tmp_path / "cache"), "oss://sample", str(tmp_path / "mnt")]
    result = subprocess.run(
        ["prlimit", limit, sys.executable, "-m", "ossfs_resume", *words],
        env=os.environ | emulator.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    *_, line = result.stderr.splitlines()
    assert line.startswith("ossfs-resume: ")
    assert "raise the limit" in line


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_one_line(unbuffered: str) -> None:
    command = [sys.executable, "-m", "ossfs_resume", "--help"]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert result.returncode == 1
    assert result.stderr == "ossfs-resume: cannot write the output: No space left on device\n"


def test_the_version_names_what_a_report_needs() -> None:
    number = r"\d+(\.\d+)+"
    others = ", ".join(f"{name} {number}" for name in ("Python", "SQLite", "libfuse", "pyfuse3"))
    assert re.fullmatch(rf"ossfs-resume 0\.1\.0 \({others}\)\n", run("--version").stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        *([command, "--help"] for command in PURPOSES),
        ["mount", "--no-such-option"],
        ["mount", "no-source", "/nowhere"],
        ["check", "oss://bucket", "--connections", "no-number"],
    ],
    ids=" ".join,
)
def test_help_version_and_slips_import_nothing_that_takes_time(arguments: list[str]) -> None:
    script = (
        "import sys; from ossfs_resume.cli import main\n"
        f"sys.argv = ['ossfs-resume', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules)"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = result.stdout.splitlines()[-1].split()
    assert "click" in loaded
    assert not {"trio", "httpx", "pyfuse3"} & set(loaded)


def test_help_says_which_of_the_cache_commands_needs_an_address() -> None:
    usage = {
        name: run("cache", name, "--help").stdout.splitlines()[0].split()[-1]
        for name in ("list", "stat", "check", "evict", "clear")
    }
    assert usage.pop("evict") == "oss://BUCKET[/PATH]"
    assert set(usage.values()) == {"[oss://BUCKET[/PATH]]"}


def test_every_line_of_help_is_whole() -> None:
    for arguments in ([], ["cache"]):
        assert "..." not in run(*arguments, "--help").stdout.partition("Commands:")[2]


def test_options_stand_under_headings_and_units_are_told() -> None:
    text = run("mount", "--help").stdout
    assert [line for line in text.splitlines() if re.fullmatch(r"\w.*:", line)] == [
        "Options:",
        *(f"{heading}:" for heading in GROUPS),
    ]
    assert all(f"--{option.name} " in text.replace("\n", " ") for option in OPTIONS)
    assert "SIZE is a number of bytes" in text


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_no_color_is_obeyed(no_color: str, is_coloured: bool) -> None:
    controller, terminal = os.openpty()
    command = [sys.executable, "-m", "ossfs_resume", "check", "--endpoint", "http://127.0.0.1:1"]
    environment = os.environ | {"NO_COLOR": no_color}
    arguments = ["--region", "r", "oss://sample"]
    subprocess.run([*command, *arguments], stdout=terminal, env=environment, check=False)
    os.close(terminal)
    assert (b"\x1b[3" in os.read(controller, 65536)) == is_coloured
    os.close(controller)


@pytest.mark.parametrize(
    "arguments",
    [["mount"], ["mount", "oss://b"], ["nonsense"], ["mount", "--nonsense"], ["emulate", "/none"]],
)
def test_wrong_usage_is_status_2_without_a_traceback(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_a_source_that_is_no_bucket_is_one_line() -> None:
    result = run("mount", "s3://b", "/mnt")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "ossfs-resume: 's3://b' is not a bucket; write oss://BUCKET or oss://BUCKET/PREFIX"
    ]


def test_unmounting_what_is_not_mounted_says_so(tmp_path: object) -> None:
    result = run("umount", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == f"ossfs-resume: {tmp_path} is not mounted\n"


def test_umount_leaves_other_file_systems_alone() -> None:
    result = run("umount", "/proc")
    assert result.returncode == 1
    assert result.stderr.endswith("none of ours; to unmount it: umount /proc\n")


def test_a_mount_point_whose_name_is_no_text_is_named_in_one_line() -> None:
    result = run("umount", "/nowhere/\udcff\n")
    assert result.returncode == 1
    assert result.stderr == "ossfs-resume: /nowhere/\\xff is not mounted\n"


@pytest.mark.parametrize("command", [["umount", ""], ["mount", "oss://b", ""]])
def test_an_empty_mount_point_is_not_the_current_directory(command: list[str]) -> None:
    assert run(*command).returncode != 0
