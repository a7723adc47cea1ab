"""A stalled network holds up who needs it, nobody else, and nobody for ever."""

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount

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


@pytest.fixture
def stalled(emulator: EmulatorProcess, mounts: Callable[..., Mount]) -> Mount:
    """Everything listed, one file cached, and then no data arrives any more."""
    (emulator.directory / "cold").mkdir()
    for number in range(READERS):
        (emulator.directory / f"cold/{number}").write_bytes(b"x" * 300_000)
    (emulator.directory / "warm").write_bytes(b"w" * 5_000_000)
    mount = mounts(options=["--connections", "16", "--timeout", "5"]).start()
    assert len(os.listdir(mount.point / "cold")) == READERS
    (mount.point / "warm").read_bytes()
    emulator.faults(hang="data")
    return mount


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def drop_kernel_pages(mount: Mount) -> None:
    with (mount.point / "warm").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def wait_until_stalled(emulator: EmulatorProcess, requests: int) -> None:
    deadline = time.monotonic() + 20
    while len(emulator.requests("get")) < requests:
        assert time.monotonic() < deadline, "the readers never reached the origin"


def test_ls_and_cached_files_answer_while_200_readers_wait_and_each_reader_ends(
    emulator: EmulatorProcess, stalled: Mount
) -> None:
    drop_kernel_pages(stalled)
    readers = Readers(stalled)
    assert timed(lambda: os.listdir(stalled.point / "cold")) < 1
    assert timed(lambda: subprocess.run(["ls", "-l", stalled.point], check=True)) < 1
    assert timed((stalled.point / "warm").read_bytes) < 1
    assert timed(lambda: os.statvfs(stalled.point)) < 1
    assert stalled.attribute("cold/1", "state") in ("remote", "fetching")
    outcomes = readers.join(60)
    assert len(outcomes) == READERS
    assert set(outcomes) <= {errno.EIO, errno.ETIMEDOUT}


def test_the_network_comes_back_and_the_readers_get_their_bytes(
    emulator: EmulatorProcess, stalled: Mount
) -> None:
    readers = Readers(stalled, 50)
    assert timed(lambda: os.listdir(stalled.point)) < 1
    emulator.faults()
    assert set(readers.join(60)) == {0}


@pytest.mark.parametrize("end", ["terminate", "interrupt", "umount"])
def test_unmounting_takes_under_five_seconds_while_readers_wait(stalled: Mount, end: str) -> None:
    readers = Readers(stalled, 20)
    if end == "umount":
        lazily = ["umount", "-l", stalled.point]
        assert timed(lambda: subprocess.run(lazily, check=True)) < 5
        readers.join(60)
        return
    import signal

    descriptor = os.pidfd_open(stalled.pid)
    number = signal.SIGTERM if end == "terminate" else signal.SIGINT
    began = time.monotonic()
    os.kill(stalled.pid, number)
    from support.mount import wait_for_end

    wait_for_end(descriptor)
    os.close(descriptor)
    stalled.pid = 0
    assert time.monotonic() - began < 5
    assert set(readers.join(5)) <= {errno.EIO, errno.ENOTCONN, errno.ECONNABORTED}
    assert not os.path.ismount(stalled.point)
    assert os.listdir(stalled.point) == []
