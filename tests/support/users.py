"""The package as another user may run it, though its checkout and its interpreter are root's."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import ossfs_resume

NOBODY = 65534
PYTHON = "/usr/bin/python3"


def user_mounts_possible(place: Path) -> str:
    """Shell commands that let users mount, for root in a mount namespace of the test's own.

    /dev/fuse may be root's alone, and fusermount3 reads /etc/mtab, which containers lack.
    """
    (place / "etc").mkdir()
    (place / "etc/mtab").symlink_to("/proc/self/mounts")
    return f"""
        umount -a -l -t fuse.ossfs-resume || true  # or else other tests' mounts were kept busy
        mknod -m 0666 {place}/fuse c 10 229
        mount --bind {place}/fuse /dev/fuse
        mount -t overlay -o lowerdir={place}/etc:/etc overlay /etc
    """


def readable_library(place: Path) -> Path:
    """A folder below ``place`` for PYTHONPATH, with the package and all that it needs.

    ``place`` must be one that everybody may enter: /root has mode 0700, and pytest's own folders
    are their owner's.
    """
    library = place / "library"
    shutil.copytree(
        sysconfig.get_path("purelib"),
        library,
        ignore=shutil.ignore_patterns("mypy*", "oss2*", "alibabacloud*", "pip*", "aliyun*"),
    )
    shutil.copytree(Path(ossfs_resume.__file__).parent, library / "ossfs_resume")
    subprocess.run(["chmod", "-R", "go+rX", place], check=True)
    return library


def is_same_python() -> bool:
    """Whether the compiled dependencies fit the system's Python."""
    version = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"
    return Path(PYTHON).exists() and subprocess.run([PYTHON, "-c", version]).returncode == 0
