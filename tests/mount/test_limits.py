"""What a process may not have more of: told in one line, and outlived by a mount."""

import os
import random
import resource
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount, wait_for_end
from support.waiting import eventually

pytestmark = pytest.mark.fuse

DATA = random.Random(7).randbytes(3 << 20)
NAMES = ["cached", "open", "unknown", *(f"more{number}" for number in range(4))]


@pytest.fixture(autouse=True)
def _objects(emulator: EmulatorProcess) -> None:
    for name in NAMES:
        (emulator.directory / name).write_bytes(DATA)


def no_more_files(pid: int) -> None:
    """Whatever it has it keeps."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, HARD))


def no_more_memory(pid: int) -> None:
    """Nor threads, whose stacks are memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    [size] = [line.split()[1] for line in status.splitlines() if line.startswith("VmSize:")]
    resource.prlimit(pid, resource.RLIMIT_AS, (int(size) * 1024, resource.RLIM_INFINITY))


HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def no_limits(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (HARD, HARD))
    resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def is_right_or_an_error(path: Path) -> bool:
    """Whether it could be read; what is read is right."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    assert data == DATA, f"{path.name}: wrong bytes"
    return True


def read_all(mount: Mount) -> None:
    for name in NAMES:
        is_right_or_an_error(mount.point / name)


def drop_pages(mount: Mount) -> None:
    for name in NAMES:
        with suppress(OSError), (mount.point / name).open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("run_out", [no_more_files, no_more_memory])
def test_a_mount_lives_through_it(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], run_out: Callable[[int], None]
) -> None:
    mount = mounts(options=["--timeout", "1"]).start()
    assert is_right_or_an_error(mount.point / "cached")
    run_out(mount.pid)
    read_all(mount)
    emulator.stop()
    emulator.start()  # so that connections would have to be made
    drop_pages(mount)
    read_all(mount)
    with suppress(OSError):
        os.listdir(mount.point)
    no_limits(mount.pid)
    for name in NAMES:
        eventually(lambda name=name: is_right_or_an_error(mount.point / name))
    mount.stop()
    assert os.listdir(mount.point) == []
    log = mount.log.read_text()
    assert "Traceback" not in log


def test_the_limit_is_as_high_as_it_may_be(mounts: Callable[..., Mount]) -> None:
    mount = mounts(is_forked=False)  # so that it inherits the limit of the tests
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(os.listdir("/proc/self/fd")) + 64  # what the tests before have open, and some
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, former[1]))
    try:
        mount.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, former)
    assert resource.prlimit(mount.pid, resource.RLIMIT_NOFILE) == (min(HARD, 65_536), HARD)


def test_it_is_unmounted_with_the_last_descriptor(mounts: Callable[..., Mount]) -> None:
    mount = mounts(options=["--timeout", "1"]).start()
    last = max(map(int, os.listdir(f"/proc/{mount.pid}/fd")))
    resource.prlimit(mount.pid, resource.RLIMIT_NOFILE, (last + 1, HARD))
    with ExitStack() as stack:
        for name in NAMES:
            stack.enter_context((mount.point / name).open("rb"))
            is_right_or_an_error(mount.point / name)
        descriptor = os.pidfd_open(mount.pid)
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        wait_for_end(descriptor)
    assert os.listdir(mount.point) == []
