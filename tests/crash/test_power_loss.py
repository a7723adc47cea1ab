"""The power goes away at any moment: no wrong byte, nothing lost that was promised.

A workload is recorded once; then, for crashes at each of its operations, the store is opened on
states that the disk may have been left in. ``scripts/soak power`` does the same with more seeds.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.powercut.disk import Disk, Fate, Image, Link, Operation, SyncAll, SyncFile
from support.powercut.recorder import Recorder
from support.powercut.verdict import judge, lay_out
from support.powercut.workload import Workload

SEEDS = int(os.environ.get("POWER_SEEDS", "12"))
FIRST_SEED = int(os.environ.get("POWER_FIRST_SEED", "0"))
STATES = int(os.environ.get("POWER_STATES", "60"))
STEPS = 40


@pytest.fixture
def root() -> Iterator[Path]:
    """In memory, if there is such a place: the states are many, and none needs a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_after_any_power_cut_only_right_bytes_and_every_promise(root: Path, seed: int) -> None:
    recorder, workload = recorded(root / "recorded", seed)
    chance = random.Random(seed)
    for crash in crashes(len(recorder.operations), chance):
        for fate, image in images(recorder, crash, chance):
            lay_out(image, root / "cut")
            try:
                judge(root / "cut", workload.promised(crash))
            except Exception as error:
                error.add_note(f"seed {seed}, power cut after operation {crash}, {fate}")
                raise


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS // 4))
def test_power_cuts_while_recovering_from_power_cuts(root: Path, seed: int) -> None:
    chance = random.Random(seed)
    recorder, workload = recorded(root / "recorded", seed, steps=15)
    for _ in range(8):
        crash = chance.randint(recorder.started, len(recorder.operations))
        image = Disk(recorder.operations[:crash]).image(chance.choice(list(Fate)), chance)
        lay_out(image, root / "cut")
        judge(root / "cut", workload.promised(crash))
        lay_out(image, root / "recorded")
        recorder, workload = recorded(root / "recorded", seed, steps=8, before=workload, at=crash)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS // 4))
def test_a_disk_that_lies_about_its_syncs_costs_parts_and_no_wrong_byte(
    root: Path, seed: int
) -> None:
    recorder, workload = recorded(root / "recorded", seed)
    chance = random.Random(seed)
    operations = without_data_syncs(recorder.operations)
    for crash in crashes(len(operations), chance):
        promised = workload.promised(crash).copy()
        promised.synced = {}
        image = Disk(operations[:crash]).image(Fate.TORN, chance)
        lay_out(image, root / "cut")
        judge(root / "cut", promised)


@pytest.mark.parametrize("seed", range(4))
def test_the_recorder_misses_nothing(root: Path, seed: int) -> None:
    recorder, _ = recorded(root / "recorded", seed)
    image = Disk(recorder.operations).image(Fate.KEPT, random.Random(0))
    found = {
        str(path.relative_to(recorder.root)): None if path.is_dir() else path.read_bytes()
        for path in recorder.root.rglob("*")
        if path.name != "ballast"  # says nothing
    }
    assert image == found


def test_a_workload_is_reproducible(root: Path) -> None:
    first, _ = recorded(root / "recorded", 1)
    shutil.rmtree(root / "recorded")
    again, _ = recorded(root / "recorded", 1)
    assert first.operations == again.operations


def recorded(
    root: Path, seed: int, *, steps: int = STEPS, before: Workload | None = None, at: int = 0
) -> tuple[Recorder, Workload]:
    """A workload on what is in ``root``, where ``before`` was cut off at its operation ``at``."""
    root.mkdir(exist_ok=True)
    recorder = Recorder(root, seed)
    workload = Workload(recorder, seed, before.promised(at) if before else None)
    workload.run(steps)
    return recorder, workload


def without_data_syncs(operations: list[Operation]) -> list[Operation]:
    """As many operations, but no sync of a data file has done anything."""
    data = {op.file for op in operations if isinstance(op, Link) and "/data/" in op.path}
    return [
        SyncFile(op.file, 0)
        if isinstance(op, SyncFile) and op.file in data
        else SyncAll(0)
        if isinstance(op, SyncAll)
        else op
        for op in operations
    ]


def crashes(count: int, chance: random.Random) -> list[int]:
    """Where to cut: everywhere, if that is not too much."""
    everywhere = range(count + 1)
    wanted = max(1, STATES // len(Fate))
    return list(everywhere) if wanted > count else sorted(chance.sample(everywhere, wanted))


def images(recorder: Recorder, crash: int, chance: random.Random) -> Iterator[tuple[Fate, Image]]:
    """States after a power cut, each once."""
    disk = Disk(recorder.operations[:crash])
    seen: list[Image] = []
    for fate in Fate:
        image = disk.image(fate, chance)
        if image not in seen:
            seen.append(image)
            yield fate, image
