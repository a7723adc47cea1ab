"""The receiver in a thread of its own, with an event loop of its own.

To receive, check and write on one thread, one after the other, and not on the thread that answers
FUSE, is what makes a cold copy cheap: a hop between threads for each write costs more than all that
is done with the bytes. And a disk that hangs in a write holds up no ``ls``.

The main loop decides and the receiver performs. A transfer is handed over and comes back when it
has ended; what it brings is posted. A write is begun in `DirectWrites` and seen here by its age.
Once it is older than patience the receiver is given up, thread and all: its transfers come back
without having failed, are fetched by another receiver, and go through memory while the disk is left
alone.

What may not change:

- What a receiver that was given up still holds (buffers, the file under its call) stays as it is
  until that call returns: nobody uses such a buffer again, and its downloads are not retired.
- Nothing that it says is heard any more.
- At most two hang; then nothing is written until one of them has returned.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

import trio

from ossfs_resume.cache.entry import Entry
from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.circuit_breaker import CircuitBreaker
from ossfs_resume.fetch.download import Download, Transfer
from ossfs_resume.fetch.receiver import Receiver
from ossfs_resume.fetch.thread_calls import Hanging
from ossfs_resume.loops import Loop, LoopEnded
from ossfs_resume.shortages import log_failure

log = logging.getLogger(__name__)

WRITE_PATIENCE_SECONDS = 8.0
"""Longer than a write waits for the catalogue to keep up (`Backlog`): that is slow and not ill."""

LOOK_SECONDS = 0.5
MOST_HANGING = 2
GRACE_SECONDS = 2.0
"""How long the end of a mount waits for a receiver."""

SLOW_SECONDS = 0.1
SLOW_IN_A_ROW = 3
"""After so many slow writes in a row they go to threads, so that other connections are served."""

THREADS = 8

Post = Callable[..., None]
"""Has something called in the main loop."""


class DirectWrites:
    """Writes of one receiver, in its thread: where a hop would cost more than it gives."""

    def __init__(self, trouble: CircuitBreaker, may_write: Callable[[], bool]) -> None:
        self._trouble = trouble
        self._may_write = may_write
        self._began: list[float] = []
        self._is_given_up = False
        self._slow = 0
        self._threads = trio.CapacityLimiter(THREADS)

    @property
    def oldest(self) -> float | None:
        """When the oldest of the writes that run was begun; any thread may ask."""
        return min(list(self._began), default=None)

    def give_up(self) -> None:
        """One of them hangs. What comes of it says nothing of the disk any more."""
        self._is_given_up = True

    async def write(self, download: Download, first: int, parts: Sequence[memoryview]) -> bool:
        """Keep whole parts; False if they could not be kept."""
        began, progress = trio.current_time(), download.entry.progress
        if not progress.is_open or not self._may_write() or self._trouble.is_resting(began):
            return False
        self._began.append(began)
        try:
            await self._write(download.entry, first, parts)
        except CacheError as error:
            # An entry that another process replaced says nothing of the disk.
            if progress.is_open and not self._is_given_up:
                self._trouble.failed(error, trio.current_time())
            return False
        finally:
            self._began.remove(began)
        ended = trio.current_time()
        if self._is_given_up:
            return True
        self._slow = self._slow + 1 if ended - began > SLOW_SECONDS else 0
        self._trouble.succeeded(ended)
        return True

    async def _write(self, entry: Entry, first: int, parts: Sequence[memoryview]) -> None:
        whole = [(part,) for part in parts]
        try:
            if self._slow < SLOW_IN_A_ROW and not entry.wants_row:
                entry.write_parts(first, whole)
            else:
                act = partial(entry.write_parts, first, whole)
                await trio.to_thread.run_sync(act, limiter=self._threads)
        except CacheError:
            raise
        except Exception as error:
            log_failure(log, "the cache", error)
            raise CacheError(f"{type(error).__name__}: {error}") from error


class ReceiverThread:
    """One thread with its receiver. Methods are for the main loop.

    It may end by itself, or never begin, where the process has no more threads, files or memory:
    then ``failure`` says why, and it brings nothing.
    """

    def __init__(self, make: Callable[[Post], Receiver], on_end: Callable[[], None]) -> None:
        """``on_end`` is called in the main loop when the thread has ended."""
        self._home = Loop.here()
        self._clock = trio.lowlevel.current_clock()  # so that times mean the same in both loops
        self._make = make
        self._on_end = on_end
        self._is_given_up = False
        self._loop: Loop | None = None
        self._ready, self.ended = trio.Event(), trio.Event()
        self.failure: Exception | None = None
        # A daemon: the interpreter must be able to exit while the disk holds the thread.
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self.failure = error
            self._ended()

    def __repr__(self) -> str:
        return f"<ReceiverThread {'given up' if self._is_given_up else 'receiving'}>"

    async def fetch(self, transfer: Transfer) -> None:
        """Bring the parts of a transfer. Raises OriginError, LoopEnded."""
        await self.ready()
        if self._loop is None:
            raise LoopEnded
        await self._loop.call(self._receiver.fetch, transfer)

    async def ready(self) -> None:
        """Until it receives, or has ended."""
        await self._ready.wait()

    def write_soon(self, transfer: Transfer) -> None:
        """Write what a transfer has gathered."""
        if self._ready.is_set() and self._loop is not None:
            self._loop.post(self._receiver.write_soon, transfer)

    def give_up(self) -> None:
        """It hangs. Its transfers come back by LoopEnded."""
        self._is_given_up = True
        if self._ready.is_set() and self._loop is not None:
            self._loop.post(self._scope.cancel)
            self._loop.give_up()

    async def stop(self) -> None:
        """End it, or leave it behind."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(GRACE_SECONDS):
                await self._ready.wait()
                if self._loop is not None:
                    self._loop.post(self._scope.cancel)
                await self.ended.wait()
            self.give_up()

    def _run(self) -> None:
        try:
            trio.run(self._main, clock=self._clock)
        except Exception as error:
            self.failure = error
        finally:
            self._home.post(self._ended)

    async def _main(self) -> None:
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                self._receiver, self._loop = self._make(self._post), Loop.here()
                await nursery.start(self._receiver.run)
                self._home.post(self._ready.set)

    def _post(self, function: Callable[..., object], *args: object) -> None:
        self._home.post(self._hear, function, args)

    def _hear(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        if not self._is_given_up:
            function(*args)

    def _ended(self) -> None:
        self.ended.set()
        self._ready.set()
        self._on_end()


class Receivers:
    """The receiver of a mount, and those that hang.

    ``make`` makes one, given the way to post to the main loop and the writes; ``on_idle`` is called
    with the downloads of one that hung, when it has returned.
    """

    def __init__(
        self,
        make: Callable[[Post, DirectWrites], Receiver],
        trouble: CircuitBreaker,
        on_idle: Callable[[Download], None],
    ) -> None:
        self._make = make
        self._trouble = trouble
        self._on_idle = on_idle
        self._hanging = 0
        self._transfers: set[Transfer] = set()

    def __repr__(self) -> str:
        return f"<Receivers {len(self._transfers)} transfers, {self._hanging} hanging>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the thread and watch its writes, until cancelled. Raises why it cannot start."""
        self._start()
        await self._thread.ready()
        if self._thread.failure is not None:
            raise self._thread.failure
        task_status.started()
        try:
            while True:
                await trio.sleep(LOOK_SECONDS)
                oldest, now = self._writes.oldest, trio.current_time()
                if oldest is not None and now - oldest > WRITE_PATIENCE_SECONDS:
                    self._replace(now)
                elif self._thread.ended.is_set():
                    if self._thread.failure is not None:
                        log_failure(log, "the receiver", self._thread.failure)
                    self._start()
        finally:
            await self._thread.stop()

    async def fetch(self, transfer: Transfer) -> None:
        """Bring the parts of a transfer; returns without all of them if its receiver hung.

        Raises OriginError.
        """
        self._transfers.add(transfer)
        try:
            await self._thread.fetch(transfer)
        except LoopEnded:
            transfer.sink = None
            if self._thread.ended.is_set():
                await trio.sleep(LOOK_SECONDS)
        finally:
            self._transfers.discard(transfer)

    def write_soon(self, transfer: Transfer) -> None:
        """Write what a transfer has gathered."""
        self._thread.write_soon(transfer)

    def _start(self) -> None:
        self._held: list[Download] = []
        self._writes = DirectWrites(self._trouble, lambda: self._hanging < MOST_HANGING)
        held = self._held
        self._thread = ReceiverThread(
            partial(self._made, self._writes), on_end=lambda: self._returned(held)
        )

    def _made(self, writes: DirectWrites, post: Post) -> Receiver:
        return self._make(post, writes)

    def _replace(self, now: float) -> None:
        patience = f"the cache did not answer for {WRITE_PATIENCE_SECONDS:g} seconds"
        self._trouble.failed(Hanging(patience), now)
        self._hanging += 1
        for transfer in self._transfers:
            transfer.download.running += 1
            self._held.append(transfer.download)
        self._writes.give_up()
        self._thread.give_up()
        self._start()

    def _returned(self, held: list[Download]) -> None:
        """A thread has ended; if it hung, what it held may go."""
        if held:
            self._hanging -= 1
        for download in held:
            download.running -= 1
            self._on_idle(download)
