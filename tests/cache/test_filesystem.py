"""Where a cache may lie."""

from pathlib import Path

import pytest

from ossfs_resume.cache import filesystem
from ossfs_resume.errors import CacheError

MOUNTINFO = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /home rw shared:1 - nfs4 server:/home rw
31 22 0:31 / /mnt/with\040blank rw - fuse.sshfs host: rw
32 30 254:1 / /home/local rw - xfs /dev/vdb rw
33 22 0:33 / /twice rw - ext4 /dev/vdc rw
34 22 0:34 / /twice rw - 9p share rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "ext4"),
        ("/homestead", "ext4"),
        ("/home", "nfs4"),
        ("/home/user/cache", "nfs4"),
        ("/home/local/cache", "xfs"),
        ("/mnt/with blank/cache", "fuse.sshfs"),
        ("/twice/cache", "9p"),
    ],
)
def test_the_innermost_and_topmost_mount_decides(path: str, expected: str) -> None:
    assert filesystem.file_system_type(path, MOUNTINFO) == expected


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("nfs", "NFS"),
        ("nfs4", "NFS"),
        ("cifs", "SMB/CIFS"),
        ("smb3", "SMB/CIFS"),
        ("lustre", "Lustre"),
        ("9p", "9p"),
        ("fuse", "FUSE"),
        ("fuse.sshfs", "FUSE"),
        ("fuseblk", "FUSE"),
        ("ext4", None),
        ("xfs", None),
        ("tmpfs", None),
        ("overlay", None),
        ("", None),
    ],
)
def test_network_and_fuse_file_systems_are_refused_by_name(
    type_name: str, expected: str | None
) -> None:
    assert filesystem.refusal(type_name) == expected


def test_the_refusal_names_path_and_file_system() -> None:
    with pytest.raises(CacheError, match=r"/home/user lies on NFS.*local disk"):
        filesystem.require_local(Path("/home/user"), MOUNTINFO)


def test_the_directory_of_tests_is_accepted(tmp_path: Path) -> None:
    filesystem.require_local(tmp_path / "does not exist yet")
