"""A stalled network holds up who needs it, nobody else, and nobody for ever."""

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount, wait_for_end
from support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.fuse

READERS = 200


class Readers:
    """Threads that each read the first bytes of a file of their own and keep the outcome."""

    def __init__(self, mount: Mount, count: int = READERS) -> None:
        self.outcomes: list[int] = []
        self._threads = [
            threading.Thread(target=self._read, args=(os.fspath(mount.point / f"cold/{number}"),))
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, path: str) -> None:
        try:
            with open(path, "rb", buffering=0) as file:
                file.read(10)
        except OSError as error:
            self.outcomes.append(error.errno)
        else:
            self.outcomes.append(0)

    def join(self, timeout_s: float) -> list[int]:
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        assert not [thread for thread in self._threads if thread.is_alive()]
        return self.outcomes


def stall(emulator: EmulatorProcess, mounts: Callable[..., Mount], timeout_s: int) -> Mount:
    """Everything listed, one file cached, and then no data arrives any more."""
    (emulator.directory / "cold").mkdir()
    for number in range(READERS):
        (emulator.directory / f"cold/{number}").write_bytes(b"x" * 300_000)
    (emulator.directory / "warm").write_bytes(b"w" * 5_000_000)
    mount = mounts(options=["--connections", "16", "--timeout", str(timeout_s)]).start()
    assert len(os.listdir(mount.point / "cold")) == READERS
    (mount.point / "warm").read_bytes()
    emulator.reset()
    emulator.faults(hang="data")
    return mount


def drop_kernel_pages(mount: Mount) -> None:
    with (mount.point / "warm").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_ls_and_cached_files_answer_while_200_readers_wait_and_each_reader_ends(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    stalled = stall(emulator, mounts, timeout_s=10)
    drop_kernel_pages(stalled)
    readers = Readers(stalled)
    eventually(lambda: emulator.requests("get"))
    os.listdir(stalled.point / "cold")
    subprocess.run(["ls", "-l", stalled.point], check=True)
    (stalled.point / "warm").read_bytes()
    os.statvfs(stalled.point)
    assert stalled.attribute("cold/1", "state") in ("remote", "fetching")
    assert readers.outcomes == []
    outcomes = readers.join(4 * PATIENCE_S)
    assert len(outcomes) == READERS
    assert set(outcomes) <= {errno.EIO, errno.ETIMEDOUT}


def test_the_network_comes_back_and_the_readers_get_their_bytes(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    stalled = stall(emulator, mounts, timeout_s=60)
    readers = Readers(stalled, 50)
    eventually(lambda: emulator.requests("get"))
    emulator.faults()
    assert set(readers.join(4 * PATIENCE_S)) == {0}


def test_a_lazy_unmount_waits_for_nobody_and_the_readers_end(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    stalled = stall(emulator, mounts, timeout_s=6)
    readers = Readers(stalled, 20)
    eventually(lambda: emulator.requests("get"))
    subprocess.run(["umount", "-l", stalled.point], check=True)
    assert readers.outcomes == []
    readers.join(4 * PATIENCE_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_does_not_wait_for_readers_who_wait(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], number: signal.Signals
) -> None:
    stalled = stall(emulator, mounts, timeout_s=10 * int(PATIENCE_S))
    readers = Readers(stalled, 20)
    eventually(lambda: emulator.requests("get"))
    descriptor = os.pidfd_open(stalled.pid)
    os.kill(stalled.pid, number)
    wait_for_end(descriptor, PATIENCE_S)
    os.close(descriptor)
    stalled.pid = 0
    assert set(readers.join(PATIENCE_S)) <= {errno.EIO, errno.ENOTCONN, errno.ECONNABORTED}
    assert not os.path.ismount(stalled.point)
    assert os.listdir(stalled.point) == []
