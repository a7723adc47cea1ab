"""Sessions from start to end: stalled readers, signals, kill -9, unmounts from outside."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.fuse.dead_mounts import is_dead
from ossfs_resume.fuse.health import Health, ask
from ossfs_resume.fuse.kernel import abort_connection
from ossfs_resume.fuse.mounts import Mount, detach, mount_at, pinned
from support.waiting import PATIENCE_S, all_within, eventually
from support.waits import until_dead

pytestmark = pytest.mark.fuse

# Each thread reads one byte far from the others; the exit status tells that all failed with EIO.
READERS = """
import errno, os, sys, threading
descriptor, numbers = os.open(sys.argv[1], os.O_RDONLY), []
def read(number):
    try:
        os.pread(descriptor, 1, number << 22)
    except OSError as error:
        numbers.append(error.errno)
threads = [threading.Thread(target=read, args=[n]) for n in range(int(sys.argv[2]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(set(numbers) - {errno.EIO, errno.ECONNABORTED, errno.ENOTCONN} != set() or
         len(numbers) != len(threads))
"""

LIMIT_S = 5.0
"""How long a mount may hang after ``kill -9``; `all_within` says by which clock."""

WITHOUT_HELPER = {"PATH": "/nonexistent"}


def stall(mounts: Any, mounted: Any, count: int) -> subprocess.Popen[bytes]:
    """Start that many readers and return when all of them wait."""
    readers: subprocess.Popen[bytes] = mounts.child(
        READERS, str(mounted.path / "stalled.bin"), str(count)
    )
    os.getxattr(mounted.path, f"user.ossfs.stalled.{count}")
    return readers


def test_limits_are_raised_and_told(mounts: Any) -> None:
    mounted = mounts.start()
    assert mounted.wait_ready() == {"read_ahead_kib": 512, "background": 4096}
    mount = mount_at(str(mounted.path))
    assert mount is not None
    assert mount.source == "oss://a,b\\c/p"
    assert mount.is_ours
    bdi = Path(f"/sys/class/bdi/{mount.major}:{mount.minor}/read_ahead_kb")
    assert bdi.read_text() == "512\n"


def test_200_stalled_readers_hold_up_nobody(mounts: Any) -> None:
    mounted = mounts.ready()
    readers = stall(mounts, mounted, 200)
    assert len((mounted.path / "large.bin").read_bytes()) == 3 * 1024 * 1024 + 123
    assert "small.txt" in os.listdir(mounted.path)
    assert readers.poll() is None


@contextmanager
def heeded(number: signal.Signals) -> Iterator[None]:
    """For processes that are started here: under nohup they would inherit that it is ignored."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts(mounts: Any, number: signal.Signals) -> None:
    with heeded(number):
        mounted = mounts.ready()
    mounted.process.send_signal(number)
    assert mounted.process.wait(PATIENCE_S) == 0
    assert not mounted.is_mounted


@pytest.mark.parametrize("arguments", [[], ["--deaf"]])
def test_a_stop_does_not_wait_for_stalled_readers_and_answers_them(
    mounts: Any, arguments: list[str]
) -> None:
    """Also when nobody tells the readers to give up."""
    mounted = mounts.ready(*arguments)
    readers = stall(mounts, mounted, 50)
    assert mounted.stop() == 0
    assert not mounted.is_mounted
    assert readers.wait(PATIENCE_S) == 0


def test_a_stop_while_an_invalidation_waits_for_a_stalled_read(mounts: Any) -> None:
    mounted = mounts.ready("--deaf")
    stall(mounts, mounted, 1)
    os.setxattr(mounted.path / "stalled.bin", "user.ossfs.invalidate", b"1")
    assert mounted.stop() == 0
    assert not mounted.is_mounted


def test_a_stop_while_others_use_the_mount(mounts: Any) -> None:
    mounted = mounts.ready()
    descriptor = os.open(mounted.path / "large.bin", os.O_RDONLY)
    try:
        assert os.read(descriptor, 10)
        assert mounted.stop() == 0
        assert not mounted.is_mounted
        assert os.listdir(mounted.path) == []
    finally:
        with suppress(OSError):  # close(2) asks the connection, which is gone
            os.close(descriptor)


@pytest.mark.parametrize("command", [["umount"], ["fusermount3", "-u"], ["umount", "-l"]])
def test_an_unmount_from_outside_ends_the_process_well(mounts: Any, command: list[str]) -> None:
    mounted = mounts.ready()
    subprocess.run([*command, str(mounted.path)], check=True)
    assert mounted.process.wait(PATIENCE_S) == 0
    assert not mounted.is_mounted


def test_a_cut_connection_is_told_and_leaves_a_dead_mount(mounts: Any) -> None:
    """Not an empty directory, of which a program might make as empty a copy."""
    mounted = mounts.ready()
    mount = mount_at(str(mounted.path))
    assert mount is not None
    assert abort_connection(mount.minor)
    assert mounted.process.wait(PATIENCE_S) == 1
    assert "connection" in mounted.log.read_text()
    with pytest.raises(OSError, match="not connected"):
        os.listdir(mounted.path)


def test_a_defect_that_ends_the_process_leaves_a_dead_mount(mounts: Any) -> None:
    mounted = mounts.ready("--fail")
    mounted.process.send_signal(signal.SIGUSR2)
    assert mounted.process.wait(PATIENCE_S) == 1
    with pytest.raises(OSError, match="not connected"):
        os.listdir(mounted.path)


def test_hangup_and_user_signals_are_told_and_end_nothing(mounts: Any) -> None:
    mounted = mounts.ready()
    for number in (signal.SIGHUP, signal.SIGUSR2):
        mounted.process.send_signal(number)
        output = mounted.process.stdout
        assert select.select([output], [], [], PATIENCE_S)[0]
        assert output.readline().decode().strip() == number.name
    assert (mounted.path / "small.txt").read_text() == "hello\n"


@pytest.mark.parametrize("has_helper", [True, False])
def test_kill_9_leaves_a_dead_mount_that_the_next_one_replaces(
    mounts: Any, has_helper: bool
) -> None:
    """At once, although the kernel remembers the attributes of the root for a minute."""
    dead = mounts.ready(environment={} if has_helper else WITHOUT_HELPER)
    os.stat(dead.path)
    stall(mounts, dead, 3)
    dead.process.kill()
    dead.process.wait()
    with pytest.raises(OSError, match="not connected"):
        os.listdir(dead.path)
    alive = mounts.ready()
    assert (alive.path / "small.txt").read_text() == "hello\n"
    assert alive.stop() == 0
    assert not alive.is_mounted


def test_the_watcher_has_no_descriptor_but_one_and_ends_with_the_mount(mounts: Any) -> None:
    mounted = mounts.ready()
    watcher = watcher_of(mounted)

    def descriptors() -> set[str]:
        numbers = os.listdir(f"/proc/{watcher}/fd")
        return {Path(_link(Path(f"/proc/{watcher}/fd/{n}"))).name for n in numbers if n != "2"}

    eventually(lambda: descriptors() == {"abort", "stat"})  # and once it has loaded its libraries
    ending = os.pidfd_open(watcher)
    os.kill(watcher, signal.SIGTERM)  # a service manager stops all processes of a service at once
    assert mounted.stop() == 0
    assert select.select([ending], [], [], PATIENCE_S)[0]
    os.close(ending)


def test_the_watcher_of_a_killed_process_cuts_its_connection_and_no_other(mounts: Any) -> None:
    mounted = mounts.ready()
    watcher = watcher_of(mounted)
    ending = os.pidfd_open(watcher)
    mounted.process.kill()
    mounted.process.wait()
    detach(str(mounted.path))
    other = mounts.ready()  # under the same number, before the watcher looks
    assert select.select([ending], [], [], PATIENCE_S)[0]
    os.close(ending)
    assert (other.path / "small.txt").read_text() == "hello\n"


@contextmanager
def lingering(mounts: Any) -> Iterator[Any]:
    """A mount whose process is killed while something keeps its device open: it would hang."""
    mounted = mounts.start("--leak")
    child = mounted.wait_ready()["child"]
    try:
        yield mounted
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_process_that_lingers_when_killed_hangs_nobody(mounts: Any) -> None:
    with lingering(mounts) as mounted:
        watcher_of(mounted)
        mounted.process.kill()
        mounted.process.wait()
        eventually(lambda: ask(mount_of(mounted), 1.0) is Health.DEAD)


def held_in_the_kernel(mounts: Any, *arguments: str) -> tuple[Any, int]:
    """A mount of which a thread is to drop pages that are locked by a read that nobody answers: it
    cannot be killed, and keeps the device open. With the pidfd of the mount's watcher."""
    mounted = mounts.ready("--deaf", "--reckless", *arguments)
    stall(mounts, mounted, 1)
    watcher = os.pidfd_open(watcher_of(mounted))
    os.setxattr(mounted.path / "stalled.bin", "user.ossfs.invalidate", b"1")
    tasks = Path(f"/proc/{mounted.process.pid}/task")
    eventually(lambda: any(") D " in (task / "stat").read_text() for task in tasks.iterdir()))
    return mounted, watcher


def test_kill_9_of_a_process_that_the_kernel_does_not_let_go_of(mounts: Any) -> None:
    mounted, watcher = held_in_the_kernel(mounts)
    process = os.pidfd_open(mounted.process.pid)
    with until_dead(mounted.path) as dead:
        mounted.process.kill()
        all_within([process, watcher, dead], LIMIT_S)
    os.close(process)
    os.close(watcher)


def test_where_nobody_can_cut_the_connection_the_mount_is_detached(mounts: Any) -> None:
    mounted, watcher = held_in_the_kernel(mounts, "--without-fusectl")
    mount = mount_of(mounted)
    mounted.process.kill()
    try:
        all_within([watcher], LIMIT_S)
        assert not mounted.is_mounted
    finally:
        abort_connection(mount.minor)
    os.close(watcher)


@pytest.mark.parametrize("what", ["mount", "umount"])
def test_a_lingering_process_is_found_dead_also_without_its_watcher(mounts: Any, what: str) -> None:
    with lingering(mounts) as mounted:
        mount = mount_of(mounted)
        os.kill(watcher_of(mounted), signal.SIGKILL)
        mounted.process.kill()
        mounted.process.wait()
        assert ask(mount, 1.0) is Health.HANGS
        if what == "mount":
            alive = mounts.ready()
            assert (alive.path / "small.txt").read_text() == "hello\n"
            assert alive.stop() == 0
        else:
            command = [sys.executable, "-m", "ossfs_resume", "umount", str(mounted.path)]
            subprocess.run(command, check=True)
        assert not mounted.is_mounted


def test_a_mount_that_hangs_and_is_not_dead_is_left_alone(mounts: Any) -> None:
    mounted = mounts.ready()
    mounted.process.send_signal(signal.SIGSTOP)
    try:
        mount = mount_of(mounted)
        assert ask(mount, 1.0) is Health.HANGS
        assert not is_dead(mount)
        with pinned(mount) as held:
            assert held is not None
    finally:
        mounted.process.send_signal(signal.SIGCONT)
    assert ask(mount) is Health.ANSWERS


def mount_of(mounted: Any) -> Mount:
    mount = mount_at(str(mounted.path))
    assert mount is not None
    return mount


def watcher_of(mounted: Any) -> int:
    """The process that watches over a mount's, once it is there."""
    found: list[int] = []

    def look() -> bool:
        for task in Path(f"/proc/{mounted.process.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                with suppress(OSError):
                    if b"/watcher.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(int(child))
        return bool(found)

    eventually(look)
    return found[0]


def test_the_helper_does_not_keep_our_standard_output_open(mounts: Any) -> None:
    mounted = mounts.ready()
    mount = mount_at(str(mounted.path))
    mounted.process.send_signal(signal.SIGSTOP)
    assert mount is not None
    output = os.readlink(f"/proc/{mounted.process.pid}/fd/1")
    holders = [
        pid
        for pid in filter(str.isdigit, os.listdir("/proc"))
        if pid not in (str(mounted.process.pid), str(os.getpid()))
        and any(_link(Path(f"/proc/{pid}/fd/{number}")) == output for number in range(3))
    ]
    mounted.process.send_signal(signal.SIGCONT)
    assert holders == []


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def test_defects_everywhere_do_not_end_the_mount(mounts: Any) -> None:
    mounted = mounts.ready("--break")
    for attempt in (os.listdir, os.statvfs, lambda path: os.stat(path / "small.txt")):
        with pytest.raises(OSError, match="Input/output error"):
            attempt(mounted.path)
    assert mounted.stop() == 0
    assert "RuntimeError: a defect in" in mounted.log.read_text()


def test_a_reader_killed_in_the_middle_frees_itself_and_the_others(mounts: Any) -> None:
    mounted = mounts.ready()
    readers = stall(mounts, mounted, 4)
    readers.kill()
    assert readers.wait(PATIENCE_S) == -signal.SIGKILL
    assert (mounted.path / "small.txt").read_text() == "hello\n"
    assert mounted.stop() == 0


def test_a_caller_killed_before_its_request_is_received_freezes_nothing(mounts: Any) -> None:
    mounted = mounts.ready()
    os.setxattr(mounted.path / "dir", "user.ossfs.race", os.fsencode(mounted.path))
    # No request and no signal from here on: either would set a frozen process free.
    output = mounted.process.stdout
    assert select.select([output], [], [], PATIENCE_S)[0], "the process is frozen"
    assert output.readline() == b"alive\n"


def test_what_prevents_a_mount_is_one_line(mounts: Any, tmp_path: Path) -> None:
    (mounts.path() / "file").touch()
    refused = mounts.start()
    assert refused.process.wait(PATIENCE_S) == 1
    assert refused.log.read_text().splitlines() == [
        f"{refused.path} is not empty; name an empty directory"
    ]
