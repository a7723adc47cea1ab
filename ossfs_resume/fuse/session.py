"""One mount, from the first check to the unmount.

The problem
    pyfuse3's state is global, its main loop ends only when every handler has answered, a process
    that ends without unmounting leaves "Transport endpoint is not connected" behind, and a thread
    that waits in the kernel for one of our answers can make the process unkillable.

Invariants
    1. On every way out the order is: turn new requests away and have every running handler answer;
       stop asking the kernel anything; end the main loop; close the device; unmount. A cancellation
       from outside takes the same way, hence the shields. It begins at once also when the kernel
       has ended the session, whoever still waits for whatever.
    2. The device is never closed while an invalidation is inside the kernel: it would wait for an
       answer that cannot come any more. If one does not return the connection is aborted first.
    3. No thread of this process asks the mount anything (`health` says why).
    4. The mount is taken away only when somebody asked for that (a signal), or if it never worked.
       Every other end leaves a place that answers ENOTCONN, which no program takes for an empty
       directory.
    5. What is taken away is certainly ours: it is pinned while the device shows no error
       (`connection`), and unmounted by its descriptor. After an unmount from outside nothing at
       that place is touched.

One session per process at a time; :func:`serve` must run in the main thread.
"""

import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from subprocess import Popen
from typing import TypeVar

import pyfuse3
import trio

from ossfs_resume.errors import MountError
from ossfs_resume.fuse import health, kernel, owners, preflight, watcher
from ossfs_resume.fuse.connection import Connection, open_devices
from ossfs_resume.fuse.health import Health
from ossfs_resume.fuse.kernel import KernelReport
from ossfs_resume.fuse.mounts import Mount, Pinned, located, mount_at, pinned
from ossfs_resume.fuse.operations import Operations
from ossfs_resume.fuse.options import SessionSettings, libfuse_options
from ossfs_resume.fuse.process import (
    Reserve,
    enable_stack_dumps,
    freeze_guard,
    pyfuse3_log_filtered,
    standard_descriptors_replaced,
)
from ossfs_resume.shortages import log_failure, shortage

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Tasks serve one request each. 3000 stalled readers take 53 MiB; the limit is there for form.
_MAX_TASKS = 100_000
# Idle tasks that are kept, so that bursts do not start and end tasks all the time.
_MIN_TASKS = 20

_PREFLIGHT_LIMIT_S = 30.0
_READY_LIMIT_S = 30.0
_JOIN_LIMIT_S = 1.0

_DENIED = ("Operation not permitted", "Permission denied")
_IF_DENIED = (
    "; in a container add --cap-add SYS_ADMIN and, where AppArmor forbids it, --security-opt"
    " apparmor:unconfined"
)

_DESCRIPTORS_TO_END = 10
"""The mount table, the pinned mount, and the pipes of fusermount3."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvents:
    """What is called, on the event loop, when something happens to a session.

    ``on_ready``: the mount answers. ``on_stop``, exactly once after a successful mount, before
    anything is taken down: whoever makes readers wait must now let them fail. ``on_hangup``:
    SIGHUP, after which a log file is opened anew; ``on_user_signal``: SIGUSR2.
    """

    on_ready: Callable[[KernelReport], None]
    on_stop: Callable[[], None]
    on_hangup: Callable[[], None] = _nothing
    on_user_signal: Callable[[], None] = _nothing


async def serve(operations: Operations, settings: SessionSettings, events: SessionEvents) -> None:
    """Mount, and answer the kernel until told to stop (SIGTERM, SIGINT) or unmounted from outside.

    Raises MountError if the mount cannot be made, does not answer, or if the kernel's connection
    was cut; any other exception is a defect of the main loop.
    """
    enable_stack_dumps()
    mountpoint = await _prepare(settings)
    connection = _mount(operations, mountpoint, settings)
    with ExitStack() as process:
        process.enter_context(pyfuse3_log_filtered())
        process.enter_context(freeze_guard())
        await _Session(operations, settings, mountpoint, connection, events).run()


async def _prepare(settings: SessionSettings) -> str:
    check = partial(preflight.prepare, settings.mountpoint, allow_other=settings.allow_other)
    with trio.move_on_after(_PREFLIGHT_LIMIT_S):
        return await trio.to_thread.run_sync(check, abandon_on_cancel=True)
    raise MountError(f"{settings.mountpoint} does not answer; unmount what hangs there: umount -l")


def _mount(operations: Operations, mountpoint: str, settings: SessionSettings) -> Connection:
    Reserve(2 * _DESCRIPTORS_TO_END).release()  # or what is mounted could not be taken away again
    before = open_devices()
    try:
        with standard_descriptors_replaced() as captured:
            pyfuse3.init(operations, mountpoint, set(libfuse_options(settings)))
    except RuntimeError as error:
        reason = captured.last_line or str(error)
        remedy = _IF_DENIED if reason.endswith(_DENIED) else ""
        raise MountError(f"cannot mount on {mountpoint}: {reason}{remedy}") from error
    if captured.text:
        _log.debug("libfuse: %s", captured.text.strip())
    return Connection(before)


class _Session:
    """A mounted session; created right after ``pyfuse3.init`` succeeded."""

    def __init__(
        self,
        operations: Operations,
        settings: SessionSettings,
        mountpoint: str,
        connection: Connection,
        events: SessionEvents,
    ) -> None:
        self._operations = operations
        self._settings = settings
        self._mountpoint = mountpoint
        self._connection = connection
        self._events = events
        self._mount = mount_at(mountpoint)
        self._abort: int | None = None
        self._watcher: Popen[bytes] | None = None
        self._resources = ExitStack()
        self._reserve = Reserve(_DESCRIPTORS_TO_END)
        self._is_ready = self._is_to_be_unmounted = False
        self._failure: BaseException | None = None
        self._loop_scope = trio.CancelScope(shield=True)
        self._waiting_scope = trio.CancelScope()
        self._loop_ended = trio.Event()

    async def run(self) -> None:
        """Serve to the end, whatever that is."""
        with self._resources:
            self._resources.callback(self._release)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve_requests)
                try:
                    with self._waiting_scope:
                        await self._until_the_end()
                finally:
                    has_ended_alone = self._connection.is_over or self._loop_ended.is_set()
                    with trio.CancelScope(shield=True):
                        await self._stop()
        if self._failure is not None:
            raise self._failure
        if has_ended_alone and not self._is_to_be_unmounted:
            await self._say_how_it_ended()

    async def _serve_requests(self) -> None:
        try:
            with self._loop_scope:
                await pyfuse3.main(min_tasks=_MIN_TASKS, max_tasks=_MAX_TASKS)
        except Exception as error:
            log_failure(_log, f"the main loop of {self._mountpoint}", error)
            self._failure = error
            self._is_to_be_unmounted |= not self._is_ready
        finally:
            self._loop_ended.set()
            self._waiting_scope.cancel()

    async def _until_the_end(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_told_to_stop)
            await self._connection.ended()
            nursery.cancel_scope.cancel()

    async def _until_told_to_stop(self) -> None:
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
        with trio.open_signal_receiver(*signals) as received:
            try:
                await self._become_ready()
            except Exception as error:
                self._failure = error
                self._is_to_be_unmounted = True
                self._waiting_scope.cancel()
                return
            async for number in received:
                if number == signal.SIGHUP:
                    self._events.on_hangup()
                elif number == signal.SIGUSR2:
                    self._events.on_user_signal()
                else:
                    _log.info("unmounting %s (%s)", self._mountpoint, signal.Signals(number).name)
                    self._is_to_be_unmounted = True
                    self._waiting_scope.cancel()

    async def _become_ready(self) -> None:
        if self._mount is None:
            raise MountError(f"{self._mountpoint} is missing from the mount table")
        ask = partial(health.ask, self._mount, _READY_LIMIT_S)
        found = await trio.to_thread.run_sync(ask, abandon_on_cancel=True)
        if found is not Health.ANSWERS:
            raise MountError(f"{self._mountpoint} {found.value}")
        report = await trio.to_thread.run_sync(
            partial(
                kernel.raise_limits,
                self._mount.major,
                self._mount.minor,
                read_ahead_kib=self._settings.read_ahead_kib,
                max_background=self._settings.max_background,
            )
        )
        for warning in report.warnings:
            _log.warning("%s", warning)
        self._resources.enter_context(owners.recorded(self._mount))
        self._operations.invalidator.start()
        self._is_ready = True
        self._events.on_ready(report)
        # Only now: before, our standard error was that of the command that waits for us.
        self._start_watcher()

    def _start_watcher(self) -> None:
        assert self._mount is not None
        self._abort = kernel.open_abort(self._mount.minor)
        if self._connection.is_over:  # then it may be another one's
            return
        try:
            self._watcher = watcher.start(self._mount, self._abort)
        except OSError as error:
            _log.warning("nothing watches over this process: %s", error)

    async def _stop(self) -> None:
        """Invariant 1, up to the unmount."""
        self._reserve.release()
        with ExitStack() as held:
            place = located(self._mount) if self._mount else None
            mount = held.enter_context(pinned(place)) if place else None
            is_ours = not self._connection.is_over
            self._tell_waiters()
            self._operations.invalidator.stop()
            await self._operations.gate.close(self._settings.stop_grace_s)
            await self._end_loop()
            if await self._join_invalidations():
                # The connection ends here: what waits for an answer gets an error.
                pyfuse3.close(unmount=False)
            if place is not None and is_ours and self._is_to_be_unmounted:
                _detach(mount, place)

    def _tell_waiters(self) -> None:
        try:
            self._events.on_stop()
        except Exception as error:
            log_failure(_log, "telling the waiting readers to stop", error)

    async def _end_loop(self) -> None:
        if self._loop_ended.is_set():
            return
        pyfuse3.terminate()
        with trio.move_on_after(self._settings.stop_grace_s):
            await self._loop_ended.wait()
        self._loop_scope.cancel()
        await self._loop_ended.wait()

    async def _join_invalidations(self) -> bool:
        """Invariant 2."""
        join = partial(self._operations.invalidator.join, _JOIN_LIMIT_S)
        if await _at_the_end(join):
            return True
        if self._abort is not None:
            os.write(self._abort, b"1\n")
        return await _at_the_end(join)

    async def _say_how_it_ended(self) -> None:
        """The kernel ended the session: somebody unmounted it, or cut the connection."""
        mount = located(self._mount) if self._mount else None
        if mount is None:
            _log.info("%s was unmounted", self._mountpoint)
        elif await _at_the_end(partial(health.ask, mount)) is Health.DEAD:
            raise MountError(f"the kernel's connection of {self._mountpoint} was cut; mount again")
        else:  # another process mounted again at once
            _log.info("%s was unmounted", self._mountpoint)

    def _release(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
        if self._abort is not None:
            os.close(self._abort)


async def _at_the_end(function: Callable[[], T]) -> T:
    """Call it in a thread; where none is to be had, here: nobody is served any more."""
    try:
        return await trio.to_thread.run_sync(function)
    except RuntimeError as error:
        if not shortage(error):
            raise
        return function()


def _detach(mount: Pinned | None, place: Mount) -> None:
    if mount is None:
        _log.warning("%s stays, dead, below what is mounted over it", place.mountpoint)
        return
    try:
        mount.detach()
    except MountError as error:
        _log.warning("%s", error)
