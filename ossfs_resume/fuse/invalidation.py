"""Telling the kernel to forget what it cached, without ever waiting for it.

The problem
    A thread that waits in the kernel for something that an unanswered request of ours holds cannot
    be killed. After ``kill -9`` it keeps the device open, nobody answers, and the mount hangs for
    everybody. ``invalidate_entry`` waits for the directory's lock, which the kernel takes before we
    see a lookup, so that no order of ours can prevent it. ``invalidate_inode`` with data waits for
    locked pages, that is for reads that we have not answered.

How names are forgotten
    They are not. The attributes of the inode are (that waits for nothing). The kernel asks for them
    when the name is used next; the tree then answers ESTALE if the name leads elsewhere, and
    stat(2) and open(2) look the path up again (measured: no program sees an error, also below its
    working directory). Names that do not exist are forgotten by their lifetime alone.

Invariants
    1. The calls happen in threads of their own and no lock is held during them. Requests are queued
       in bounded memory; who asks never waits.
    2. Data of an inode is not dropped while one of its reads is unanswered; if its bytes were bad
       its reads fail at once, so that this comes to pass. (One may still arrive between the check
       and the call; if the process is killed just then, `watcher` frees the thread.)
    3. Data and attributes have a thread each: a long read delays no attribute.
    4. Nothing is asked of the kernel before the mount answers or after :meth:`Invalidator.stop`.
    5. The kernel not knowing an inode (ENOENT) is success.

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

# Attributes expire by themselves, so those may be dropped; data may not, and has no more
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


_Request = _Data | _Attributes


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

    def start(self) -> None:
        self._is_running = True
        self._thread.start()

    def put(self, request: _Request) -> None:
        with self._changed:
            if not self._is_running or request in self._pending:
                return
            if self._limit is not None and len(self._pending) >= self._limit:
                return
            self._pending[request] = None
            self._changed.notify()

    def wake(self) -> None:
        """Look again at what was held back. Without a lock, for it is called after each read: who
        adds a request looks at the reads himself."""
        if self._pending:
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
            except FileNotFoundError:
                pass
            except Exception as error:
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
        self._attributes = _Lane("invalidate-attributes", _LANE_LIMIT, lambda _request: False)

    def data(self, inode: int) -> None:
        """Have the kernel drop the pages and attributes of ``inode``, when its reads are over."""
        self._data.put(_Data(inode))

    def attributes(self, inode: int) -> None:
        """Have the kernel ask again for the attributes of ``inode``."""
        self._attributes.put(_Attributes(inode))

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
        self._attributes.start()

    def stop(self) -> None:
        """Drop what is queued and accept no more. Never waits."""
        self._data.stop()
        self._attributes.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for a call in progress; False if the kernel still holds one. Blocking."""
        deadline = time.monotonic() + timeout_s
        lanes = (self._data, self._attributes)
        return all(lane.join(max(0.0, deadline - time.monotonic())) for lane in lanes)
