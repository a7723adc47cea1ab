"""What this machine may lack that a test needs, and the one reason why it is then skipped."""

import os

from ossfs_resume.fuse.preflight import what_table_lacks

NO_MOUNT_TABLE = "needs /etc/mtab, a link to /proc/self/mounts, as fusermount3 does"


def lacks_mount_table() -> bool:
    """Whether nobody but root could unmount here, and that is not who asks."""
    return os.geteuid() != 0 and what_table_lacks() != ""
