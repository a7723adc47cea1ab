"""Kills real mounts and counts what it costs; run it through ``scripts/soak``.

Exit status 0 if every byte was right and nothing was fetched again beyond the limits.
"""

import argparse
import contextlib
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.resume import MAX_REFETCH, MIB, check_claims, fetched, make_object, read_until

PERCENTAGES = (25, 50, 75, 99)
BYTES_PER_S = 100e6


def resume(place: Path, chance: random.Random, count: int, size: int) -> None:
    """Kill a copy at fixed points, once each, and count what is fetched again."""
    with EmulatorProcess(place / "bucket") as emulator:
        data = make_object(emulator, size)
        print(f"{'killed at':>9}  {'fetched before':>14}  {'fetched again':>13}  {'of it':>6}")
        for percentage in PERCENTAGES:
            emulator.reset()
            emulator.faults(total_bytes_per_s=BYTES_PER_S)
            with killed_mount(emulator, place / str(percentage)) as mount:
                mount.start()
                read_until(mount.point / "object", size * percentage // 100)
                before = fetched(emulator)
                mount.kill()
                before = max(before, fetched(emulator))
                mount.start()
                assert (mount.point / "object").read_bytes() == data, "wrong bytes"
            again = fetched(emulator) - size
            print(
                f"{percentage:>7} %  {before / MIB:>10.1f} MiB  {again / MIB:>9.2f} MiB"
                f"  {again / before:>6.2%}",
                flush=True,
            )
            assert again <= MAX_REFETCH, "more than 64 MiB fetched again"


def kills(place: Path, chance: random.Random, count: int, size: int) -> None:
    """Kill one mount again and again while it is read; a new cache when all is there."""
    names = ("object", "small", "odd")
    sizes = dict(zip(names, (size, 5000, 3 * MIB + 17), strict=True))
    with EmulatorProcess(place / "bucket") as emulator:
        contents = {name: make_object(emulator, sizes[name], name) for name in names}
        emulator.faults(total_bytes_per_s=BYTES_PER_S)
        total = 0
        with killed_mount(emulator, place / "mount") as mount:
            for number in range(count):
                kept, before = check_claims(mount.cache, contents), sent(emulator)
                read_and_kill(mount, names, chance)
                now = check_claims(mount.cache, contents)
                lost = sent(emulator) - before - (now - kept)
                total += lost
                print(f"kill {number + 1:>4}: {now / MIB:>7.1f} MiB kept, {lost / MIB:>6.2f} lost")
                assert lost <= MAX_REFETCH, "one kill cost more than 64 MiB"
                if number + 1 == count or now >= 0.95 * sum(sizes.values()):
                    compare(mount.start(), contents)
                    mount.kill()
                    shutil.rmtree(mount.cache)
            print(f"{count} kills: every byte right, {total / MIB:.1f} MiB fetched again in all")


def two(place: Path, chance: random.Random, count: int, size: int) -> None:
    """Two mounts with one cache directory; one of them, or both, is killed each time."""
    with EmulatorProcess(place / "bucket") as emulator, contextlib.ExitStack() as stack:
        contents = {"object": make_object(emulator, size)}
        emulator.faults(total_bytes_per_s=BYTES_PER_S)
        mounts = [
            stack.enter_context(killed_mount(emulator, place / name)) for name in ("one", "two")
        ]
        for mount in mounts:
            mount.cache = place / "cache"
        for number in range(count):
            for mount in mounts:
                if not mount.pid:
                    mount.start()
            victims = chance.choice((mounts[:1], mounts[1:], mounts))
            readers = [reading(mount.point / "object", size) for mount in mounts]
            readers[0].join(chance.uniform(0, 1.5))
            for victim in victims:
                victim.kill()
            for mount, reader in zip(mounts, readers, strict=True):
                if mount in victims:
                    reader.join()
            print(f"kill {number + 1:>4}: {len(victims)} of 2", flush=True)
            for reader in readers:
                reader.join()
            now = check_claims(place / "cache", contents)
            if now == size:
                for mount in mounts:
                    compare(mount if mount.pid else mount.start(), contents)
                    mount.kill()
                shutil.rmtree(place / "cache")
        print(f"{count} kills of two mounts with one cache: every byte right")


def sent(emulator: EmulatorProcess) -> int:
    return int(emulator.statistics()["bytes"])


def compare(mount: Mount, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        assert (mount.point / name).read_bytes() == data, f"{name} is wrong"


def read_and_kill(mount: Mount, names: tuple[str, ...], chance: random.Random) -> None:
    mount.start()
    readers = [reading(mount.point / name, 1 << 40) for name in chance.sample(names, 2)]
    readers[0].join(chance.uniform(0, 1.5))
    mount.kill()
    for reader in readers:
        reader.join()


def reading(path: Path, count: int) -> threading.Thread:
    thread = threading.Thread(target=read_until, args=(path, count))
    thread.start()
    return thread


@contextlib.contextmanager
def killed_mount(emulator: EmulatorProcess, place: Path, *options: str) -> Iterator[Mount]:
    """A mount that may be dead or alive at the end, and is gone then; the first start included."""
    mount = Mount(emulator, place, options=options, is_forked=False)
    try:
        yield mount
    finally:
        mount.__exit__()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("kills", "resume", "two"))
    parser.add_argument("--count", type=int, default=200, help="kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, help="of the object, in MiB")
    options = parser.parse_args()
    run, size = {"kills": (kills, 192), "resume": (resume, 512), "two": (two, 96)}[options.what]
    size = (options.size or size) * MIB + 12345
    with tempfile.TemporaryDirectory(prefix="ossfs-soak-") as place:
        run(Path(place), random.Random(options.seed), options.count, size)


if __name__ == "__main__":
    main()
