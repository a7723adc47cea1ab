"""Telling the kernel to forget what it cached, without ever waiting for it.

The problem
    ``invalidate_inode`` (with data) waits for the kernel's locked pages, that is for reads that we
    have not answered yet; ``invalidate_entry`` waits for the directory's lock, that is for lookups
    that we have not answered yet. On the event loop either is a deadlock in an uninterruptible
    sleep that not even ``kill -9`` ends. The kernel's documentation says otherwise; it is wrong.

Invariants
    1. The calls happen in threads of their own and no lock is held during them. Requests are queued
       in bounded memory; who asks never waits.
    2. Data of an inode is not invalidated while one of its reads is unanswered, because a thread
       that waits for a page keeps the device open even when the process is killed. (A read may
       still arrive between the check and the call. It is then waited for; that is short or rare.)
    3. Data and names have a thread each: a long read delays no name.
    4. Nothing is asked of the kernel before the mount answers or after :meth:`Invalidator.stop`.
    5. The kernel not knowing an inode or a name (ENOENT) is success.

Lock order: each lane has one lock, held for a few instructions; never two at once.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyfuse3

_log = logging.getLogger(__name__)

# Attributes and names expire by themselves, so those may be dropped; data may not, and has no more
# requests than the kernel knows inodes.
_LANE_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class _Data:
    inode: int

    def perform(self) -> None:
        pyfuse3.invalidate_inode(self.inode, attr_only=False)


@dataclass(frozen=True, slots=True)
class _Attributes:
    inode: int

    def perform(self) -> None:
        pyfuse3.invalidate_inode(self.inode, attr_only=True)


@dataclass(frozen=True, slots=True)
class _Entry:
    parent: int
    name: bytes
    deleted: int

    def perform(self) -> None:
        pyfuse3.invalidate_entry(self.parent, self.name, self.deleted)


_Request = _Data | _Attributes | _Entry


@dataclass(frozen=True, slots=True)
class InvalidatorStatistics:
    """Requests carried out, failed, and dropped because too many were waiting."""

    performed: int
    failed: int
    dropped: int


class _Lane:
    """A queue of distinct requests and the thread that performs them in order."""

    def __init__(self, name: str, limit: int | None, is_blocked: Callable[[_Request], bool]):
        self._limit = limit
        self._is_blocked = is_blocked
        self._changed = threading.Condition(threading.Lock())
        self._pending: dict[_Request, None] = {}
        self._is_running = False
        # A daemon: the interpreter must be able to exit while the kernel holds the thread.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.performed = self.failed = self.dropped = 0

    def start(self) -> None:
        self._is_running = True
        self._thread.start()

    def put(self, request: _Request) -> None:
        with self._changed:
            if not self._is_running or request in self._pending:
                return
            if self._limit is not None and len(self._pending) >= self._limit:
                self.dropped += 1
                return
            self._pending[request] = None
            self._changed.notify()

    def wake(self) -> None:
        if self._pending:  # else nobody waits for what has ended: most reads wake nobody
            with self._changed:
                self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._is_running = False
            self._pending.clear()
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (request := self._take()) is not None:
            try:
                request.perform()
                self.performed += 1
            except FileNotFoundError:
                self.performed += 1
            except Exception as error:
                self.failed += 1
                _log.warning("the kernel did not take %s: %s", request, error)

    def _take(self) -> _Request | None:
        with self._changed:
            while self._is_running:
                for request in self._pending:
                    if not self._is_blocked(request):
                        del self._pending[request]
                        return request
                self._changed.wait()
        return None


class Invalidator:
    """Takes invalidations from any thread and hands them to the kernel from its own."""

    def __init__(self) -> None:
        self._reads: Counter[int] = Counter()
        self._data = _Lane("invalidate-data", None, self._is_being_read)
        self._names = _Lane("invalidate-names", _LANE_LIMIT, lambda _request: False)

    @property
    def statistics(self) -> InvalidatorStatistics:
        lanes = (self._data, self._names)
        return InvalidatorStatistics(
            performed=sum(lane.performed for lane in lanes),
            failed=sum(lane.failed for lane in lanes),
            dropped=sum(lane.dropped for lane in lanes),
        )

    def data(self, inode: int) -> None:
        """Have the kernel drop the pages and attributes of ``inode``, when its reads are over."""
        self._data.put(_Data(inode))

    def attributes(self, inode: int) -> None:
        """Have the kernel ask again for the attributes of ``inode``."""
        self._names.put(_Attributes(inode))

    def entry(self, parent: int, name: bytes, deleted: int = 0) -> None:
        """Have the kernel look ``name`` up again; ``deleted`` tells watchers of that inode."""
        self._names.put(_Entry(parent, name, deleted))

    def read_started(self, inode: int) -> None:
        """A read of ``inode`` is unanswered; called on the event loop only."""
        self._reads[inode] += 1

    def read_finished(self, inode: int) -> None:
        """The counterpart of :meth:`read_started`."""
        self._reads[inode] -= 1
        if self._reads[inode] == 0:
            del self._reads[inode]
            self._data.wake()

    def _is_being_read(self, request: _Request) -> bool:
        return isinstance(request, _Data) and request.inode in self._reads

    def start(self) -> None:
        """Begin to talk to the kernel; requests made earlier concern nobody and are dropped."""
        self._data.start()
        self._names.start()

    def stop(self) -> None:
        """Drop what is queued and accept no more. Never waits."""
        self._data.stop()
        self._names.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for a call in progress; False if the kernel still holds one. Blocking."""
        deadline = time.monotonic() + timeout_s
        lanes = (self._data, self._names)
        return all(lane.join(max(0.0, deadline - time.monotonic())) for lane in lanes)
