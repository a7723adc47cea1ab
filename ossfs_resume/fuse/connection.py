"""The device of this process's own session, and how to hear that the kernel has ended it.

The session is over when its device shows an error (POLLERR): unmounted for the last user, or cut
through fusectl. The mount table does not tell: a lazy unmount takes the line away while files are
open, and mount IDs and device numbers are given out again at once. But as long as the device shows
no error, the device number of our mount is nobody else's.
"""

import os
import select
import stat

import trio

from ossfs_resume.errors import MountError

_DEVICE = os.makedev(10, 229)  # /dev/fuse, whatever its name (devices.txt of the kernel)


def open_devices() -> frozenset[int]:
    """The descriptors of /dev/fuse that this process has."""
    return frozenset(int(name) for name in os.listdir("/proc/self/fd") if _is_device(int(name)))


def _is_device(descriptor: int) -> bool:
    try:
        status = os.fstat(descriptor)
    except OSError:  # the one that listed them
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _DEVICE


class Connection:
    """A session's device, to be made right after the session; ``before`` is what `open_devices`
    said before that. The descriptor stays the session's: a copy would keep the session alive."""

    def __init__(self, before: frozenset[int]) -> None:
        devices = open_devices() - before
        if len(devices) != 1:
            raise MountError(f"{len(devices)} descriptors of /dev/fuse instead of one")
        [self._device] = devices

    def __repr__(self) -> str:
        return f"<Connection {self._device}{' over' if self.is_over else ''}>"

    @property
    def is_over(self) -> bool:
        """Whether the kernel has ended the session, or the device is closed."""
        poll = select.poll()
        poll.register(self._device, 0)
        return bool(poll.poll(0))

    async def ended(self) -> None:
        """Return when the kernel has ended the session."""
        # Errors are always told; requests, of which this must not wake up, are not asked for.
        with select.epoll() as errors:
            errors.register(self._device, 0)
            await trio.lowlevel.wait_readable(errors.fileno())
