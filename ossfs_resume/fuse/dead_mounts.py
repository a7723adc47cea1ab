"""Taking away mounts of ours whose process is dead, and nothing else.

A dead mount answers ENOTCONN, which is what programs should see of it: an empty directory in its
place would make a copying program delete the copy. It stays until the next ``mount`` or ``umount``
at that place, which take it away by themselves.

A mount that does not answer is dead only if its process was written down (`owners`) and is: then a
thread of it lingers in the kernel. Its connection is cut, so that it answers ENOTCONN.
"""

import logging

from ossfs_resume.errors import MountError
from ossfs_resume.fuse import health, kernel, owners
from ossfs_resume.fuse.health import Health
from ossfs_resume.fuse.mounts import Mount, mount_at, pinned

_log = logging.getLogger(__name__)


def clear(path: str) -> Mount | None:
    """Detach every dead mount of ours at ``path``; what is on top there then, if anything.

    Blocks, for seconds if something hangs. Raises MountError if a dead mount cannot be detached.
    """
    while (mount := mount_at(path)) is not None and mount.is_ours and is_dead(mount):
        _detach(mount)
    return mount


def is_dead(mount: Mount) -> bool:
    """Whether nobody serves this mount, or will ever do so again."""
    found = health.ask(mount)
    if found is Health.DEAD:
        return True
    owner = owners.owner_of(mount)
    if found is Health.ANSWERS or owner is None or not owner.is_dead:
        return False
    with pinned(mount) as held:
        if held is not None and not kernel.abort_connection(mount.minor):
            lingering = "%s: process %d was killed and lingers in the kernel; detaching the mount"
            _log.warning(lingering, mount.mountpoint, owner.pid)
    return True


def _detach(mount: Mount) -> None:
    """Unless something else is there by now."""
    with pinned(mount) as held:
        if held is not None:
            held.detach()
        elif mount_at(mount.mountpoint) == mount:
            raise MountError(f"{mount.mountpoint} is dead and cannot be reached")
    owners.forget(mount)
    _log.info("%s: detached a mount whose process is dead", mount.mountpoint)
