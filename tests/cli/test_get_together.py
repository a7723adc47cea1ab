"""Several runs of one download at once: the target is whole or the old one, at any moment."""

import os
import random
from pathlib import Path

import pytest

from support import launcher
from support.emulator import EmulatorProcess
from support.get import MIB, flags, get, kept_bytes
from support.resume import fetched, make_object
from support.waiting import eventually

SIZE = 24 * MIB


def running(emulator: EmulatorProcess, *arguments: str | Path) -> launcher.Running:
    """It, begun."""
    command = ["get", *flags(emulator), "oss://sample/object", *map(str, arguments)]
    return launcher.Running(command, emulator.environment)


def test_the_second_run_waits_and_finds_it(emulator: EmulatorProcess, tmp_path: Path) -> None:
    data, target = make_object(emulator, SIZE), tmp_path / "target"
    emulator.faults(stall_after_bytes=MIB)
    first = running(emulator, target)
    eventually(lambda: target.with_name("target.ossfs-part").exists())
    eventually(lambda: fetched(emulator) > 0)
    refused = get(emulator, "oss://sample/object", target, "--no-wait")
    who = f"process {first.pid} is downloading to {target}"
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert who in refused.stderr
    second = running(emulator, target)
    assert second.line() == f"{who}: waiting for it\n"
    emulator.faults()
    assert first.end().returncode == 0
    ended = second.end()
    assert ended.returncode == 0
    assert f"{target}: here already" in ended.stderr
    assert target.read_bytes() == data
    assert fetched(emulator) == SIZE


@pytest.mark.parametrize("seed", range(3))
def test_ten_runs_and_kills_at_random(emulator: EmulatorProcess, tmp_path: Path, seed: int) -> None:
    data, target = make_object(emulator, SIZE), tmp_path / "target"
    target.write_bytes(b"old")
    chance = random.Random(seed)
    emulator.faults(total_bytes_per_s=16 * MIB)
    runs = [running(emulator, target) for _ in range(10)]
    for run in runs[1:]:
        goal = kept_bytes(target) + chance.randrange(4 * MIB)
        eventually(lambda goal=goal: kept_bytes(target) >= goal or is_new(target))  # type: ignore[misc]
        assert target.read_bytes() in (b"old", data)
        run.kill()
    ends = [run.end() for run in runs]
    assert ends[0].returncode == 0, ends[0].stderr
    assert target.read_bytes() == data
    assert get(emulator, "oss://sample/object", target).returncode == 0
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".ossfs-part")]


def is_new(target: Path) -> bool:
    return target.stat().st_size == SIZE
