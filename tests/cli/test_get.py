"""``ossfs-resume get`` of one object: a file or nothing, and what is here is not fetched again."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import launcher
from support.disks import mounted
from support.emulator import EmulatorProcess
from support.get import MIB, fetch, flags, get, kept_bytes, killed_after, started
from support.resume import fetched, make_object
from support.waiting import eventually

SIZE = 24 * MIB
ADDRESS = "oss://sample/object"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the object goes."""
    return tmp_path / "target"


def nothing_beside(target: Path) -> bool:
    """Whether nothing but the target itself is left."""
    return sorted(os.listdir(target.parent)) == [target.name]


@pytest.mark.parametrize("size", [0, 1, 70_000, 2 * MIB, 2 * MIB + 1, SIZE])
def test_an_object_of_any_size(emulator: EmulatorProcess, target: Path, size: int) -> None:
    data = make_object(emulator, size)
    os.utime(emulator.directory / "object", (1_600_000_000, 1_600_000_000))
    result = get(emulator, ADDRESS, target)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert target.read_bytes() == data
    assert target.stat().st_mtime == 1_600_000_000
    assert target.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert nothing_beside(target)


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@pytest.mark.parametrize("size", [1000, SIZE])
def test_into_a_directory_and_over_a_file_which_keeps_its_mode(
    emulator: EmulatorProcess, tmp_path: Path, size: int
) -> None:
    data = make_object(emulator, size)
    old = tmp_path / "object"
    old.write_bytes(b"old")
    old.chmod(0o640)
    assert get(emulator, ADDRESS, tmp_path).returncode == 0
    assert old.read_bytes() == data
    assert old.stat().st_mode & 0o777 == 0o640


def test_to_standard_output(emulator: EmulatorProcess, tmp_path: Path) -> None:
    data = make_object(emulator, SIZE + 5)
    with (tmp_path / "out").open("wb") as out:
        process = started(emulator, ADDRESS, "-", stdout=out)
        assert process.communicate()[1].startswith("1 object, 24.0 MiB downloaded")
    assert process.returncode == 0
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_killed_run_is_resumed(emulator: EmulatorProcess, target: Path, quarters: int) -> None:
    data = make_object(emulator, SIZE)
    emulator.faults(connection_bytes_per_s=4 * MIB)
    killed_after(emulator, target, quarters * SIZE // 4, ADDRESS, target, "--connections", "2")
    assert not target.exists()
    kept = kept_bytes(target)
    emulator.reset()
    eventually(lambda: emulator.statistics()["open_streams"] == 0)
    emulator.reset()
    result = get(emulator, ADDRESS, target)
    assert result.returncode == 0
    assert "are here already" in result.stderr
    assert "of which" in result.stderr
    assert target.read_bytes() == data
    assert fetched(emulator) == SIZE - kept
    assert not target.with_name("target.ossfs-part").exists()


def test_the_same_command_again_fetches_nothing(emulator: EmulatorProcess, target: Path) -> None:
    make_object(emulator, SIZE)
    fetch(emulator, ADDRESS, target)
    emulator.reset()
    result = get(emulator, ADDRESS, target)
    assert result.returncode == 0
    assert "here already" in result.stderr
    assert fetched(emulator) == 0


def test_a_file_of_the_same_size_and_time_is_no_proof(
    emulator: EmulatorProcess, target: Path
) -> None:
    data = make_object(emulator, SIZE)
    fetch(emulator, ADDRESS, target)
    status = target.stat()
    with target.open("r+b") as file:
        file.write(b"other")
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert get(emulator, ADDRESS, target).returncode == 0
    assert target.read_bytes() == data


def test_what_has_changed_since_the_last_run_is_begun_again(
    emulator: EmulatorProcess, target: Path
) -> None:
    make_object(emulator, SIZE)
    emulator.faults(connection_bytes_per_s=4 * MIB)
    killed_after(emulator, target, SIZE // 4, ADDRESS, target)
    emulator.reset()
    (emulator.directory / "object").write_bytes(data := os.urandom(SIZE + 1))
    result = get(emulator, ADDRESS, target)
    assert result.returncode == 0
    assert "object has changed in the bucket: starting over" in result.stderr
    assert target.read_bytes() == data
    assert nothing_beside_but_copy(target)


def nothing_beside_but_copy(target: Path) -> bool:
    return sorted(os.listdir(target.parent)) == sorted({"copy", target.name})


def test_what_changes_meanwhile_is_begun_again(emulator: EmulatorProcess, target: Path) -> None:
    data = make_object(emulator, SIZE)
    emulator.faults(change_after_requests=3)
    result = get(emulator, ADDRESS, target)
    assert result.returncode == 0, result.stderr
    assert "has changed in the bucket: starting over" in result.stderr
    assert target.read_bytes() == data


@pytest.mark.parametrize("damage", ["catalog", "part", "no data", "no catalog", "a file"])
def test_a_damaged_checkpoint_is_no_harm(
    emulator: EmulatorProcess, target: Path, damage: str
) -> None:
    data = make_object(emulator, SIZE)
    emulator.faults(connection_bytes_per_s=4 * MIB)
    killed_after(emulator, target, SIZE // 4, ADDRESS, target)
    emulator.reset()
    spoil(target.with_name("target.ossfs-part") / "store", damage)
    result = get(emulator, ADDRESS, target)
    assert result.returncode == 0, result.stderr
    assert target.read_bytes() == data
    assert nothing_beside_but_copy(target)


def spoil(store: Path, damage: str) -> None:
    (file,) = store.glob("data/*/*")
    match damage:
        case "catalog":
            store.joinpath("catalog.sqlite3").write_bytes(b"garbage" * 1000)
        case "part":
            with file.open("r+b") as data:
                for place in range(0, SIZE, MIB):
                    data.seek(place)
                    data.write(b"garbage")
        case "no data":
            file.unlink()
        case "no catalog":
            for path in store.glob("catalog.sqlite3*"):
                path.unlink()
        case "a file":
            store.rename(store.with_name("elsewhere"))
            store.write_bytes(b"what is this")
            for path in sorted(store.with_name("elsewhere").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            store.with_name("elsewhere").rmdir()


def test_what_is_here_of_another_object_is_not_used(
    emulator: EmulatorProcess, target: Path
) -> None:
    make_object(emulator, SIZE)
    other = make_object(emulator, SIZE, "other")
    emulator.faults(connection_bytes_per_s=4 * MIB)
    killed_after(emulator, target, SIZE // 4, ADDRESS, target)
    emulator.reset()
    assert fetch(emulator, "oss://sample/other", target)["resumed_bytes"] == 0
    assert target.read_bytes() == other


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 16 MiB."""
    with mounted("-t", "tmpfs", "-o", "size=16m", "none", at=tmp_path / "disk"):
        yield tmp_path / "disk"


def test_a_full_disk_is_one_line_and_is_gone_on_from(
    emulator: EmulatorProcess, small_disk: Path
) -> None:
    data = make_object(emulator, SIZE)
    target = small_disk / "target"
    result = get(emulator, ADDRESS, target)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "no space left on device" in result.stderr
    assert not target.exists()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert fetch(emulator, ADDRESS, target)["resumed_bytes"] > 4 * MIB  # type: ignore[operator]
    assert target.read_bytes() == data
    assert nothing_beside(target)


def test_wrong_bytes_never_get_the_name(emulator: EmulatorProcess, target: Path) -> None:
    for size in (1000, SIZE):
        make_object(emulator, size)
        emulator.faults(crc64_off_by=1)
        result = get(emulator, ADDRESS, target)
        assert result.returncode == 1
        assert "CRC-64" in result.stderr
        assert not target.exists()
        emulator.faults()


def test_no_clobber_update_and_dry_run(emulator: EmulatorProcess, target: Path) -> None:
    data = make_object(emulator, 1000)
    assert get(emulator, ADDRESS, target, "--dry-run").returncode == 0
    assert not target.exists()
    target.write_bytes(b"mine")
    for arguments in (["--no-clobber"], ["--dry-run"]):
        assert get(emulator, ADDRESS, target, *arguments).returncode == 0
        assert target.read_bytes() == b"mine"
    assert get(emulator, ADDRESS, target, "--update").returncode == 0
    assert target.read_bytes() == data
    target.write_bytes(newer := b"x" * 1000)
    os.utime(target, (time.time() + 9, time.time() + 9))
    assert get(emulator, ADDRESS, target, "--update").returncode == 0
    assert target.read_bytes() == newer


@pytest.mark.parametrize(
    ("source", "status", "reason"),
    [
        ("oss://sample/none", 1, "none"),
        ("oss://sample/dir/", 2, "give --recursive for a prefix"),
        ("oss://sample", 2, "give --recursive"),
        ("sample/object", 2, "write oss://BUCKET/KEY"),
        ("oss://sample/a/..", 1, "'..'"),
        (f"oss://sample/{'x' * 256}", 1, "more than 255 bytes"),
        ("oss://sample/x.ossfs-part", 1, "not complete yet"),
    ],
)
def test_what_cannot_be_downloaded_is_one_line(
    emulator: EmulatorProcess, tmp_path: Path, source: str, status: int, reason: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    result = get(emulator, source, place)
    assert result.returncode == status
    assert result.stderr.count("\n") == 1
    assert reason in result.stderr
    assert sorted(os.listdir(tmp_path)) == ["place"]
    assert not os.listdir(place)


@pytest.mark.parametrize("size", [1000, SIZE])
def test_targets_that_cannot_be_are_one_line(
    emulator: EmulatorProcess, tmp_path: Path, size: int
) -> None:
    make_object(emulator, size)
    (tmp_path / "directory" / "object").mkdir(parents=True)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for target, reason in (
        (tmp_path / "directory", "it is a directory"),
        (tmp_path / "file" / "object", "not a directory"),
        (tmp_path / "pipe", "it is not a file"),
        (tmp_path / ("x" * 256), "file name too long"),
    ):
        result = get(emulator, ADDRESS, target)
        assert result.returncode == 1, target
        assert result.stderr.count("\n") == 1, result.stderr
        assert reason in result.stderr


@pytest.mark.parametrize("size", [1000, SIZE])
def test_a_name_as_long_as_it_can_be(emulator: EmulatorProcess, tmp_path: Path, size: int) -> None:
    data = make_object(emulator, size)
    target = tmp_path / ("x" * 255)
    assert get(emulator, ADDRESS, target).returncode == 0
    assert target.read_bytes() == data
    assert nothing_beside(target)


def test_an_origin_that_does_not_answer(emulator: EmulatorProcess, target: Path) -> None:
    result = get(emulator, ADDRESS, target, "--endpoint", "http://127.0.0.1:1", "--timeout", "3")
    assert result.returncode == 1
    first, last = result.stderr.splitlines()
    assert first == "127.0.0.1:1 does not answer: connection refused; trying again"
    assert last == "ossfs-resume: object: 127.0.0.1:1: connection refused"


@pytest.mark.parametrize("source", [ADDRESS, "oss://nowhere/object"])
def test_what_all_fails_of_is_told_once(
    emulator: EmulatorProcess, tmp_path: Path, source: str
) -> None:
    for name in range(5):
        make_object(emulator, 1000, f"object{name}")
    emulator.accounts()
    sources = [f"{source}{name}" for name in range(5)]
    environment = {"OSS_ACCESS_KEY_SECRET": "wrong"}
    command = ["get", *flags(emulator), *sources, str(tmp_path)]
    result = launcher.run(command, emulator.environment | environment)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_so_and_keeps_what_came(
    emulator: EmulatorProcess, target: Path, number: signal.Signals
) -> None:
    data = make_object(emulator, SIZE)
    emulator.faults(connection_bytes_per_s=4 * MIB)
    process = started(emulator, ADDRESS, target, "--connections", "2")
    eventually(lambda: kept_bytes(target) >= SIZE // 4)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said == "interrupted; the same command again goes on from here\n"
    emulator.faults()
    assert fetch(emulator, ADDRESS, target)["resumed_bytes"] >= SIZE // 4  # type: ignore[operator]
    assert target.read_bytes() == data


def test_progress_on_a_terminal(emulator: EmulatorProcess, target: Path) -> None:
    make_object(emulator, SIZE)
    emulator.faults(total_bytes_per_s=16 * MIB)
    ours, theirs = os.openpty()
    process = started(emulator, ADDRESS, target, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal's end
        while piece := os.read(ours, 1000):
            shown += piece
    os.close(ours)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 0
    lines = [line for line in shown.decode().split("\r") if " of 24.0 MiB" in line]
    assert any("%" in line and "/s" in line and "left" in line for line in lines), shown
    assert shown.decode().split("\x1b[K")[-1].startswith("1 object, 24.0 MiB downloaded in")


def test_wrong_bytes_to_a_pipe_are_a_failure(emulator: EmulatorProcess) -> None:
    make_object(emulator, 1000)
    emulator.faults(crc64_off_by=1)
    result = get(emulator, ADDRESS, "-")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "CRC-64" in result.stderr


def test_output_modes(emulator: EmulatorProcess, target: Path) -> None:
    make_object(emulator, 1000)
    quiet = get(emulator, ADDRESS, target, "--output", "quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    failed = get(emulator, "oss://sample/none", target, "--output", "json")
    document = json.loads(failed.stdout)
    assert (failed.returncode, document["ok"]) == (1, False)
    assert document["objects"][0]["outcome"] == "failed"
