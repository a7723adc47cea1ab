"""What every contestant does, and what is written down of it.

A scenario is a function that makes mounts in an `Arena` and yields one `Result` for each thing it
measures. Each mount gets folders of its own below the arena, and nothing is deleted before the end.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import readers
from files import MIB, Sizes
from mounts import Mount, mounted
from origin import BUCKET, Origin
from readers import Outcome

from peers import OURS, Peer, Place

READERS = 16
FEW_READS = 320


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement: what was measured, of whom, and its figures by name."""

    what: str
    peer: str
    figures: dict[str, float]


@dataclass(slots=True)
class Arena:
    """A disk with an origin, where folders are handed out and never used twice."""

    folder: Path
    origin: Origin
    sizes: Sizes
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self, kind: str) -> Path:
        """A new empty folder."""
        path = self.folder / f"{kind}-{next(self._numbers)}"
        path.mkdir()
        return path

    def target(self) -> Path:
        """A name that nothing has yet."""
        return self.folder / f"copy-{next(self._numbers)}"

    def mount(self, peer: Peer, url: str, cache: Path) -> AbstractContextManager[Mount]:
        """A mount of ``peer`` with this cache folder."""
        place = Place(
            url, self.origin.certificate, self.fresh("point"), cache, self.fresh("settings")
        )
        return mounted(peer, place)

    def measure(
        self, what: str, peer: Peer, mount: Mount, action: Callable[[], Outcome], files: int = 0
    ) -> Result:
        """What ``action`` takes of time, of the mount's processor and of the origin."""
        os.sync()  # What was written before shall not be paid for now.
        before, sent = mount.load(), self.origin.sent_bytes()
        outcome = action()
        after = mount.load()
        figures = {"s": outcome.seconds, "CPU s": after.cpu_s - before.cpu_s}
        if files:
            figures["CPU us a file"] = figures["CPU s"] / files * 1e6
        figures |= {"peak MiB": after.peak_mib, "origin MiB": self._sent_since(sent)}
        return Result(what, peer.name, figures | outcome.figures)

    def _sent_since(self, sent: int) -> float:
        return (self.origin.sent_bytes() - sent) / MIB


def large(arena: Arena, peer: Peer) -> Iterator[Result]:
    """One large file: cold, again, and after a remount."""
    cache, truth = arena.fresh("cache"), arena.origin.bucket / "large"
    with arena.mount(peer, arena.origin.fast, cache) as mount:
        for what in ("large file, cold", "large file, again"):
            yield arena.measure(what, peer, mount, lambda: _copy(arena, mount, truth))
    if peer.keeps:
        with arena.mount(peer, arena.origin.fast, cache) as mount:
            what = "large file, after a remount"
            yield arena.measure(what, peer, mount, lambda: _copy(arena, mount, truth))


def large_far(arena: Arena, peer: Peer) -> Iterator[Result]:
    """30 ms away, 50 MB/s for each connection."""
    truth = arena.origin.bucket / "large"
    with arena.mount(peer, arena.origin.far, arena.fresh("cache")) as mount:
        what = "large file, 30 ms away"
        yield arena.measure(what, peer, mount, lambda: _copy(arena, mount, truth))


def large_tls(arena: Arena, peer: Peer) -> Iterator[Result]:
    """By TLS."""
    truth = arena.origin.bucket / "large"
    with arena.mount(peer, arena.origin.tls, arena.fresh("cache")) as mount:
        yield arena.measure("large file, TLS", peer, mount, lambda: _copy(arena, mount, truth))


def random_far(arena: Arena, peer: Peer) -> Iterator[Result]:
    """A few pages at random, 30 ms away."""
    truth = arena.origin.bucket / "large"
    with arena.mount(peer, arena.origin.far, arena.fresh("cache")) as mount:
        yield arena.measure(
            f"{FEW_READS} random pages, 30 ms away", peer, mount,
            lambda: readers.read_randomly(mount.point / "large", truth, FEW_READS, READERS, 1),
        )  # fmt: skip


def random_near(arena: Arena, peer: Peer) -> Iterator[Result]:
    """Many pages at random, for percentiles."""
    truth, count = arena.origin.bucket / "large", arena.sizes.random_reads
    with arena.mount(peer, arena.origin.fast, arena.fresh("cache")) as mount:
        yield arena.measure(
            f"{count} random pages", peer, mount,
            lambda: readers.read_randomly(mount.point / "large", truth, count, READERS, 2),
        )  # fmt: skip


def small_far(arena: Arena, peer: Peer) -> Iterator[Result]:
    """``cp -r`` of files of 20 KB, 30 ms away."""
    count = arena.sizes.small_files
    with arena.mount(peer, arena.origin.far, arena.fresh("cache")) as mount:
        yield arena.measure(
            f"{count} files of 20 KB, 30 ms away", peer, mount,
            lambda: _copy_tree(arena, mount, "small"), count,
        )  # fmt: skip


def tiny(arena: Arena, peer: Peer) -> Iterator[Result]:
    """``cp -r`` of files of 4 KiB: cold, and after a remount."""
    yield from _tree_twice(arena, peer, "tiny", arena.sizes.tiny_files)


def many(arena: Arena, peer: Peer) -> Iterator[Result]:
    """The same with many more of them."""
    yield from _tree_twice(arena, peer, "many", arena.sizes.many_files)


def names(arena: Arena, peer: Peer) -> Iterator[Result]:
    """``ls -l`` of a large directory: cold, and again."""
    count = arena.sizes.names
    with arena.mount(peer, arena.origin.fast, arena.fresh("cache")) as mount:
        for what in ("cold", "again"):
            yield arena.measure(
                f"ls -l of {count} names, {what}", peer, mount,
                lambda: readers.list_names(mount.point / "names", count),
            )  # fmt: skip


def medium(arena: Arena, peer: Peer) -> Iterator[Result]:
    """A directory of files of 16 MiB, asked for in the background, or read by eight."""
    truth = arena.origin.bucket / "medium"
    fill = readers.materialize if peer is OURS else readers.read_tree
    with arena.mount(peer, arena.origin.fast, arena.fresh("cache")) as mount:
        yield arena.measure(
            f"{arena.sizes.medium_files} files of 16 MiB into the cache", peer, mount,
            lambda: fill(mount.point / "medium", truth),
        )  # fmt: skip


def killed(arena: Arena, peer: Peer) -> Iterator[Result]:
    """``kill -9`` half-way through a copy; what the second one fetches again."""
    if not peer.keeps:
        return
    cache, truth = arena.fresh("cache"), arena.origin.bucket / "large"
    before = arena.origin.sent_bytes()
    with arena.mount(peer, arena.origin.far, cache) as mount:
        copying = subprocess.Popen(
            ["cp", mount.point / "large", arena.target()], stderr=subprocess.DEVNULL
        )
        while arena.origin.sent_bytes() - before < truth.stat().st_size / 2:
            time.sleep(0.01)
        os.kill(mount.pid, signal.SIGKILL)
        copying.wait()
        subprocess.run(["umount", "-l", str(mount.point)], capture_output=True, check=False)
    with arena.mount(peer, arena.origin.far, cache) as mount:
        outcome = _copy(arena, mount, truth)
    again = (arena.origin.sent_bytes() - before - truth.stat().st_size) / MIB
    figures = {"MiB fetched again": max(again, 0.0), "s": outcome.seconds}
    yield Result("kill -9 half-way", peer.name, figures)


def limits(arena: Arena) -> Iterator[Result]:
    """What the network and the disk alone take, and what the official SDKs make of it."""
    truth, origin = arena.origin.bucket / "large", arena.origin
    for what, url in (("cold", origin.fast), ("30 ms away", origin.far), ("TLS", origin.tls)):
        target = arena.target()
        command = ["curl", "-s", "--noproxy", "*", "--cacert", origin.certificate, "-o", target]
        yield _limit(f"large file, {what}", "curl -o", [*command, f"{url}/{BUCKET}/large"], target)
    target = arena.target()
    for what in ("again", "after a remount"):
        target = arena.target()
        yield _limit(f"large file, {what}", "cp on the disk", ["cp", truth, target], target)
    for name in ("oss2", "alibabacloud-oss-v2"):
        target = arena.target()
        script = Path(__file__).with_name("sdk.py")
        command = [sys.executable, script, name, origin.fast, target]
        yield _limit("large file, cold", name, command, target)


SCENARIOS = (
    large, large_far, large_tls, random_far, random_near, small_far, tiny, many, names, medium,
    killed,
)  # fmt: skip


def _limit(what: str, name: str, command: list[object], target: Path) -> Result:
    os.sync()
    before = os.times()
    began = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True)
    seconds = time.perf_counter() - began
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    target.unlink()
    return Result(what, name, {"s": seconds, "CPU s": cpu})


def _copy(arena: Arena, mount: Mount, truth: Path) -> Outcome:
    return readers.copy_file(mount.point / "large", arena.target(), truth)


def _copy_tree(arena: Arena, mount: Mount, name: str) -> Outcome:
    return readers.copy_tree(mount.point / name, arena.target(), arena.origin.bucket / name)


def _tree_twice(arena: Arena, peer: Peer, name: str, count: int) -> Iterator[Result]:
    if not count:
        return
    cache = arena.fresh("cache")
    for what in ("cold", "after a remount") if peer.keeps else ("cold",):
        with arena.mount(peer, arena.origin.fast, cache) as mount:
            yield arena.measure(
                f"{count} files of 4 KiB, {what}", peer, mount,
                lambda: _copy_tree(arena, mount, name), count,
            )  # fmt: skip
