"""Invalidations reach the kernel from other threads, once, and never late."""

import errno
import threading
from collections.abc import Iterator

import pyfuse3
import pytest

from ossfs_resume.fuse.invalidation import Invalidator
from support.waiting import PATIENCE_S


class Kernel:
    """Stands for pyfuse3's calls; each waits until it is allowed to return."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.threads: set[int] = set()
        self.called = threading.Semaphore(0)
        self.may_return = threading.Event()
        self.may_return.set()
        self.error: Exception | None = None

    def record(self, *call: object) -> None:
        self.calls.append(call)
        self.threads.add(threading.get_ident())
        self.called.release()
        assert self.may_return.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.called.acquire(timeout=PATIENCE_S)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(
        pyfuse3, "invalidate_inode", lambda inode, attr_only: kernel.record(inode, attr_only)
    )
    return kernel


@pytest.fixture
def invalidator(kernel: Kernel) -> Iterator[Invalidator]:
    invalidator = Invalidator()
    invalidator.start()
    yield invalidator
    kernel.may_return.set()
    invalidator.stop()
    assert invalidator.join(PATIENCE_S)


def test_each_kind_arrives_from_another_thread(kernel: Kernel, invalidator: Invalidator) -> None:
    invalidator.data(2)
    invalidator.attributes(3)
    kernel.wait(2)
    assert sorted(kernel.calls) == [(2, False), (3, True)]
    assert threading.get_ident() not in kernel.threads


def test_waiting_requests_are_merged(kernel: Kernel, invalidator: Invalidator) -> None:
    kernel.may_return.clear()
    invalidator.attributes(1)
    kernel.wait()
    for _ in range(100):
        invalidator.attributes(2)
    kernel.may_return.set()
    invalidator.attributes(3)
    kernel.wait(2)
    assert kernel.calls == [(1, True), (2, True), (3, True)]


def test_data_waits_for_reads_and_delays_neither_other_data_nor_attributes(
    kernel: Kernel, invalidator: Invalidator
) -> None:
    invalidator.read_started(7)
    invalidator.read_started(7)
    invalidator.data(7)
    invalidator.data(8)
    invalidator.attributes(7)
    kernel.wait(2)
    invalidator.read_finished(7)
    invalidator.data(9)
    kernel.wait()
    assert (7, False) not in kernel.calls
    invalidator.read_finished(7)
    kernel.wait()
    assert kernel.calls[-1] == (7, False)


def test_an_inode_unknown_to_the_kernel_is_no_failure(
    kernel: Kernel, invalidator: Invalidator, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.error = FileNotFoundError(errno.ENOENT, "unknown")
    invalidator.attributes(1)
    invalidator.attributes(2)
    kernel.wait(2)
    invalidator.stop()
    assert invalidator.join(PATIENCE_S)
    assert not caplog.records


def test_other_errors_are_told_and_survived(
    kernel: Kernel, invalidator: Invalidator, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.error = OSError(errno.ENOSYS, "no")
    invalidator.attributes(1)
    invalidator.attributes(2)
    kernel.wait(2)
    invalidator.stop()
    assert invalidator.join(PATIENCE_S)
    assert "inode=1" in caplog.text
    assert "inode=2" in caplog.text


def test_attributes_beyond_the_limit_are_dropped_but_data_never(
    kernel: Kernel, invalidator: Invalidator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidator._attributes, "_limit", 2)
    kernel.may_return.clear()
    invalidator.attributes(0)
    invalidator.data(0)
    kernel.wait(2)
    for inode in range(1, 5):
        invalidator.attributes(inode)
        invalidator.data(inode)
    kernel.may_return.set()
    kernel.wait(6)
    assert sum(call[1] is True for call in kernel.calls) == 3
    assert sum(call[1] is False for call in kernel.calls) == 5


def test_nothing_is_asked_before_start_and_after_stop(kernel: Kernel) -> None:
    invalidator = Invalidator()
    invalidator.data(1)
    invalidator.start()
    kernel.may_return.clear()
    invalidator.data(2)
    kernel.wait()
    invalidator.data(3)
    invalidator.stop()
    invalidator.data(4)
    assert not invalidator.join(0.01)
    kernel.may_return.set()
    assert invalidator.join(PATIENCE_S)
    assert kernel.calls == [(2, False)]


def test_joining_what_never_started_is_immediate() -> None:
    assert Invalidator().join(0.0)


def test_a_read_wakes_nobody_unless_something_waits(
    kernel: Kernel, invalidator: Invalidator, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    changed = invalidator._data._changed
    notify = changed.notify
    monkeypatch.setattr(changed, "notify", lambda: (woken.append(1), notify()))
    invalidator.read_started(1)
    invalidator.read_finished(1)
    assert not woken
    invalidator.read_started(1)
    invalidator.data(1)
    invalidator.read_finished(1)
    assert len(woken) == 2
    kernel.wait()
