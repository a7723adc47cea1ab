"""One mount, from the first check to the unmount.

The problem
    pyfuse3's state is global, its main loop ends only when every handler has answered, a process
    that ends without unmounting leaves "Transport endpoint is not connected" behind, and a thread
    that waits in the kernel for one of our answers can make the process unkillable.

Invariants
    1. On every way out the order is: turn new requests away and have every running handler answer;
       stop asking the kernel anything; end the main loop; unmount; forget the session. A
       cancellation from outside takes the same way, hence the shields.
    2. The device is never closed while an invalidation is inside the kernel: it would wait for an
       answer that cannot come any more. If one does not return the connection is aborted first.
    3. Our own mount is touched by worker threads only, never by the loop that has to answer.
    4. At the end the mount point is free, whoever still uses the mount (lazy unmount); also when
       the connection was aborted, where libfuse leaves the mount alone.

One session per process at a time; :func:`serve` must run in the main thread.
"""

import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pyfuse3
import trio

from ossfs_resume.errors import MountError
from ossfs_resume.fuse import kernel, preflight
from ossfs_resume.fuse.kernel import KernelReport
from ossfs_resume.fuse.mounts import Mount, detach, mount_at
from ossfs_resume.fuse.operations import Operations
from ossfs_resume.fuse.options import SessionSettings, libfuse_options
from ossfs_resume.fuse.process import (
    enable_stack_dumps,
    freeze_guard,
    pyfuse3_log_filtered,
    standard_descriptors_replaced,
)

_log = logging.getLogger(__name__)

# Tasks serve one request each. 3000 stalled readers take 53 MiB; the limit is there for form.
_MAX_TASKS = 100_000
# Idle tasks that are kept, so that bursts do not start and end tasks all the time.
_MIN_TASKS = 20

_PREFLIGHT_LIMIT_S = 30.0
_READY_LIMIT_S = 30.0
_JOIN_LIMIT_S = 1.0


async def serve(
    operations: Operations,
    settings: SessionSettings,
    *,
    on_ready: Callable[[KernelReport], None],
    on_stop: Callable[[], None],
) -> None:
    """Mount, answer the kernel until unmounted or told to stop, and leave nothing behind.

    ``on_ready`` is called once the mount answers. ``on_stop`` is called exactly once after a
    successful mount, before anything is taken down: whoever makes readers wait must now let them
    fail. Returns after an unmount from outside, or SIGTERM, SIGINT or SIGHUP (unless ignored, as
    under nohup). Raises MountError if the mount cannot be made, does not answer, or if the kernel's
    connection was cut; any other exception is a defect of the main loop.
    """
    enable_stack_dumps()
    mountpoint = await _prepare(settings)
    _mount(operations, mountpoint, settings)
    session = _Session(operations, settings, mountpoint, on_ready, on_stop)
    with ExitStack() as process:
        process.enter_context(pyfuse3_log_filtered())
        process.callback(session.unmount)
        process.enter_context(freeze_guard())
        await session.run()
    session.raise_failure()


async def _prepare(settings: SessionSettings) -> str:
    check = partial(preflight.prepare, settings.mountpoint, allow_other=settings.allow_other)
    with trio.move_on_after(_PREFLIGHT_LIMIT_S):
        return await trio.to_thread.run_sync(check, abandon_on_cancel=True)
    raise MountError(f"{settings.mountpoint} does not answer; unmount what hangs there: umount -l")


def _mount(operations: Operations, mountpoint: str, settings: SessionSettings) -> None:
    options = libfuse_options(settings, auto_unmount=preflight.has_helper())
    try:
        with standard_descriptors_replaced() as captured:
            pyfuse3.init(operations, mountpoint, set(options))
    except RuntimeError as error:
        reason = captured.last_line or str(error)
        raise MountError(f"cannot mount on {mountpoint}: {reason}") from error
    if captured.text:
        _log.debug("libfuse: %s", captured.text.strip())


class _Session:
    """A mounted session; created right after ``pyfuse3.init`` succeeded."""

    def __init__(
        self,
        operations: Operations,
        settings: SessionSettings,
        mountpoint: str,
        on_ready: Callable[[KernelReport], None],
        on_stop: Callable[[], None],
    ) -> None:
        self._operations = operations
        self._settings = settings
        self._mountpoint = mountpoint
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._device = mount_at(mountpoint)
        self._has_ended_alone = False
        self._may_close = True
        self._failure: BaseException | None = None
        self._loop_scope = trio.CancelScope(shield=True)
        self._waiting_scope = trio.CancelScope()
        self._loop_ended = trio.Event()

    async def run(self) -> None:
        """Serve until told to stop, unmounted from outside, or failed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve_requests)
            try:
                with self._waiting_scope:
                    await self._until_told_to_stop()
            finally:
                with trio.CancelScope(shield=True):
                    await self._stop()

    async def _serve_requests(self) -> None:
        try:
            with self._loop_scope:
                await pyfuse3.main(min_tasks=_MIN_TASKS, max_tasks=_MAX_TASKS)
        except Exception as error:
            _log.exception("the main loop of %s failed", self._mountpoint)
            self._failure = error
        finally:
            self._loop_ended.set()
            self._waiting_scope.cancel()

    async def _until_told_to_stop(self) -> None:
        with trio.open_signal_receiver(*_stop_signals()) as signals:
            try:
                await self._become_ready()
            except Exception as error:
                self._failure = error
                return
            async for number in signals:
                _log.info("unmounting %s (%s)", self._mountpoint, signal.Signals(number).name)
                return

    async def _become_ready(self) -> None:
        await _answers(self._mountpoint)
        if self._device is None:
            raise MountError(f"{self._mountpoint} is missing from the mount table")
        report = await trio.to_thread.run_sync(
            partial(
                kernel.raise_limits,
                self._device.major,
                self._device.minor,
                read_ahead_kib=self._settings.read_ahead_kib,
                max_background=self._settings.max_background,
            )
        )
        for warning in report.warnings:
            _log.warning("%s", warning)
        self._operations.invalidator.start()
        self._on_ready(report)

    async def _stop(self) -> None:
        """Invariant 1, up to the end of the main loop."""
        self._has_ended_alone = self._loop_ended.is_set()
        self._tell_waiters()
        self._operations.invalidator.stop()
        await self._operations.gate.close(self._settings.stop_grace_s)
        if not self._loop_ended.is_set():
            pyfuse3.terminate()
            with trio.move_on_after(self._settings.stop_grace_s):
                await self._loop_ended.wait()
            self._loop_scope.cancel()
            await self._loop_ended.wait()
        self._may_close = await self._join_invalidations()

    def _tell_waiters(self) -> None:
        try:
            self._on_stop()
        except Exception:
            _log.exception("telling the waiting readers to stop failed")

    async def _join_invalidations(self) -> bool:
        """Invariant 2."""
        join = partial(self._operations.invalidator.join, _JOIN_LIMIT_S)
        if await trio.to_thread.run_sync(join):
            return True
        if self._device is not None:
            await trio.to_thread.run_sync(kernel.abort_connection, self._device.minor)
        return await trio.to_thread.run_sync(join)

    def unmount(self) -> None:
        """Free the mount point and forget the session. Blocking, but asks nothing of the mount."""
        was_cut = self._has_ended_alone and self._is_mounted()
        if self._may_close:
            pyfuse3.close(unmount=True)
        if self._is_mounted():
            detach(self._mountpoint)
        if was_cut and self._failure is None:
            self._failure = MountError(
                f"the kernel's connection of {self._mountpoint} was cut; mount again"
            )

    def _is_mounted(self) -> bool:
        current = mount_at(self._mountpoint)
        return current is not None and _same_device(current, self._device)

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _same_device(one: Mount, other: Mount | None) -> bool:
    return other is not None and (one.major, one.minor) == (other.major, other.minor)


def _stop_signals() -> list[signal.Signals]:
    signals = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


async def _answers(mountpoint: str) -> None:
    """Return when the mount answers statvfs; the question is asked by a thread."""
    ask = partial(os.statvfs, mountpoint)
    with trio.move_on_after(_READY_LIMIT_S):
        try:
            await trio.to_thread.run_sync(ask, abandon_on_cancel=True)
        except OSError as error:
            raise MountError(f"{mountpoint} does not answer: {error.strerror}") from error
        return
    raise MountError(f"{mountpoint} did not answer within {_READY_LIMIT_S:.0f} s")
