"""Harms the cache's disk in every way there is, under mounts that are read; see ``scripts/soak``.

Each kind of file system in an image file, each trouble twice: under a mount, which must read on,
recover and come back after a restart; and before a mount, which must mount, read on and recover.

Exit status 0 if no reader ever got a wrong byte or an error, and no mount died.
"""

import argparse
import atexit
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soaks.trial import Trial
from support.processes import adopt_orphans, end_orphans
from support.sick_disks import SIZES, missing, set_immutable

Act = Callable[[Trial], bool | None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """``harm`` answers False where this cannot be done; ``after`` comes before the restart.
    ``evicts`` if objects can be evicted all the while."""

    name: str
    harm: Act
    mend: Act
    after: Act = lambda trial: None
    evicts: bool = False


def shut_down(trial: Trial) -> bool | None:
    """btrfs cannot be told to; it is cut short instead."""
    if not trial.disk.shut_down():
        trial.disk.cut()
    trial.crashed = trial.disk
    return None


def put_back(trial: Trial) -> None:
    """The next mount finds the disk that was shut down, as after a power cut."""
    if trial.kind != "btrfs" and trial.crashed is not None:
        trial.disk.detach()
        trial.disk = trial.crashed
        trial.disk.attach()


def immutable(trial: Trial, sign: bool) -> None:
    """The directories alone, or all files in them as well."""
    cache = trial.mount.cache
    cache.mkdir(mode=0o700, exist_ok=True)
    if not sign or trial.chance.random() < 0.5:
        set_immutable(cache, sign, ["-R"])
    else:
        for path in (cache, *(path for path in cache.rglob("*") if path.is_dir())):
            set_immutable(path, sign)


TROUBLES = (
    Trouble(
        "filled by another program", lambda t: t.disk.fill(), lambda t: t.disk.empty(), evicts=True
    ),
    Trouble("made read-only", lambda t: t.disk.make_read_only(), lambda t: t.make_writable()),
    Trouble("immutable", lambda t: immutable(t, True), lambda t: immutable(t, False)),
    Trouble("shut down", shut_down, lambda t: t.replace_disk(), put_back),
    Trouble("image cut short", lambda t: t.disk.cut(), lambda t: t.replace_disk()),
    Trouble("cut short at rest", lambda t: t.cut_at_rest(), lambda t: t.replace_disk()),
)


def try_all(trial: Trial, troubles: Sequence[Trouble]) -> None:
    """Each trouble in random order, on a new disk each."""
    trial.start()
    trial.step("a new disk", recovers=True)
    for trouble in trial.chance.sample(troubles, len(troubles)):
        under_a_mount(trial, trouble)
        before_a_mount(trial, trouble, is_new=trial.chance.random() < 0.5)
        trial.clean()
        trial.step("a new disk")


def under_a_mount(trial: Trial, trouble: Trouble) -> None:
    """It comes and goes while the mount is read, which is then mounted anew."""
    if trouble.harm(trial) is False:
        trial.skip(f"{trouble.name}, mounted", "not while a file is open for writing")
        return
    trial.step(f"{trouble.name}, mounted", evicts=trouble.evicts)
    trouble.mend(trial)
    trial.step(f"{trouble.name}, mounted; mended", recovers=True)
    trial.stop()
    trouble.after(trial)
    trial.step(f"{trouble.name}, mounted; mended; again", recovers=True)


def in_a_moment(trial: Trial, trouble: Trouble) -> None:
    """As much as shows that all this runs."""
    trial.start()
    trouble.harm(trial)
    trial.step(f"{trouble.name}, mounted")
    trouble.mend(trial)
    trial.step(f"{trouble.name}, mounted; mended", recovers=True)


def before_a_mount(trial: Trial, trouble: Trouble, *, is_new: bool) -> None:
    """The mount finds it, and sees it go."""
    trial.stop()
    if is_new:
        trial.remove_cache()
    name = f"{trouble.name}, then mounted{', no cache yet' if is_new else ''}"
    trouble.harm(trial)
    # Where no catalogue can be made for want of room, nothing is cached that could be evicted.
    trial.step(name, evicts=trouble.evicts and not is_new)
    trouble.mend(trial)
    trial.step(f"{name}; mended", recovers=True)
    trial.stop()
    trial.step(f"{name}; mended; again", recovers=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(SIZES), help="of file systems")
    parser.add_argument("--troubles", default="", help="those whose names contain this")
    parser.add_argument("--quick", action="store_true", help="the first of them for a moment")
    options = parser.parse_args()
    troubles = [trouble for trouble in TROUBLES if options.troubles in trouble.name]
    adopt_orphans()
    atexit.register(end_orphans)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is mounted is unmounted first
    faults = []
    for number in range(options.rounds):
        for kind in options.kinds.split(","):
            if reason := missing(kind):
                print(f"{kind:>5}  skipped: {reason}")
                continue
            with tempfile.TemporaryDirectory(prefix="ossfs-soak-") as place:
                trial = Trial(kind, Path(place), options.seed + number)
                with trial.running():
                    if options.quick:
                        in_a_moment(trial, troubles[0])
                    else:
                        try_all(trial, troubles)
                faults += trial.faults
    print(f"{len(faults)} faults" + "".join(f"\n  {fault}" for fault in faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
