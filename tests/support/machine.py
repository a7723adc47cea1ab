"""What this machine may lack that a test needs, and the one reason why it is then skipped.

`scripts/test-bare` reads the reasons here, so each is one line.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ossfs_resume.fuse.preflight import what_table_lacks

NO_LOOP_DEVICE = "needs a loop device, and containers have none"
NO_MOUNT_TABLE = "needs /etc/mtab, a link to /proc/self/mounts, as fusermount3 does"
NO_AUTOFS = "needs autofs in the kernel"
NO_SYSTEMD = "needs systemd-analyze"
NO_ORDINARY_USER = "needs an ordinary user, root may write everywhere"
A_SYSTEM_LOG = "needs a machine without a system log"
NO_DEVICE = "needs /dev/fuse"
NO_FIO = "needs fio, which scripts/setup --soak installs"
NO_TMPFS = "needs a tmpfs"
NO_FLAGS = "needs a file system whose files can be made immutable"
NO_SETFATTR = "needs setfattr"
NO_ROOT = "needs root"
NO_MOUNTING = "needs the right to mount, root's CAP_SYS_ADMIN"
ANOTHER_PYTHON = "needs a system Python of the same version"

_CAP_SYS_ADMIN = 1 << 21


def is_root() -> bool:
    """By the effective user, whose rights count."""
    return os.geteuid() == 0


needs_root = pytest.mark.skipif(not is_root(), reason=NO_ROOT)
needs_ordinary_user = pytest.mark.skipif(is_root(), reason=NO_ORDINARY_USER)


def has_loop_device() -> bool:
    """Whether one can be had now; a container may have the device that gives them out, and none."""
    program = shutil.which("losetup")
    return bool(program) and not subprocess.run([program, "-f"], capture_output=True).returncode


def require_mounting() -> None:
    """Skip the test where this process may not mount; root of a container often may not."""
    status = Path("/proc/self/status").read_text()
    if not int(re.findall(r"CapEff:\t(\w+)", status)[0], 16) & _CAP_SYS_ADMIN:
        pytest.skip(NO_MOUNTING)


def require_loop_device() -> None:
    """Skip the test where there are no loop devices."""
    require_mounting()
    if not has_loop_device():
        pytest.skip(NO_LOOP_DEVICE)


def lacks_mount_table() -> bool:
    """Whether nobody but root could unmount here, and that is not who asks."""
    return not is_root() and what_table_lacks() != ""
