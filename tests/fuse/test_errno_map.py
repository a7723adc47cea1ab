"""Every error class has the errno that the kernel should see."""

import errno
import inspect

import pytest

from ossfs_resume import errors
from ossfs_resume.errors import OssfsError
from ossfs_resume.fuse.errno_map import errno_of, sole_error

EXPECTED = {
    "NotFound": errno.ENOENT,
    "NoSuchName": errno.ENOENT,
    "AccessDenied": errno.EACCES,
    "NotPermitted": errno.EACCES,
    "ObjectChanged": errno.ESTALE,
    "StaleVersion": errno.ESTALE,
    "OriginTimeout": errno.ETIMEDOUT,
    "NoProgress": errno.ETIMEDOUT,
    "NoSpace": errno.ENOSPC,
    "DiskFull": errno.ENOSPC,
    "InUse": errno.EBUSY,
    "NotADirectory": errno.ENOTDIR,
    "IsADirectory": errno.EISDIR,
    "ReadOnly": errno.EROFS,
    "NoSuchAttribute": errno.ENODATA,
    "BadValue": errno.EINVAL,
    "NotSupported": errno.ENOTSUP,
    **dict.fromkeys(
        [
            *("OssfsError", "SettingsError", "MountError", "OriginError", "NoSuchBucket"),
            *("NotReadable", "BadRequest", "TransientError", "Unreachable", "Throttled"),
            *("TlsFailed", "Disconnected"),
            *("ServerFailed", "ClockSkewed", "BadAnswer", "CacheError", "CorruptObject"),
            *("ShuttingDown", "TreeError", "TargetError", "TargetInUse"),
        ],
        errno.EIO,
    ),
}
CLASSES: dict[str, type[OssfsError]] = {
    name: one
    for name, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, BaseException)
}


def test_every_class_of_the_error_tree_is_expected_here() -> None:
    assert set(CLASSES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_errno_of_class(name: str) -> None:
    assert errno_of(CLASSES[name]("text")) == EXPECTED[name]


def test_a_class_unknown_to_the_table_takes_its_nearest_ancestor() -> None:
    class Vanished(errors.NotFound):
        pass

    assert errno_of(Vanished("text")) == errno.ENOENT


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), OSError(errno.ENOENT, "x")])
def test_anything_else_is_eio(error: Exception) -> None:
    assert errno_of(error) == errno.EIO


def test_a_group_of_one_stands_for_its_member() -> None:
    member = OssfsError("x")
    assert sole_error(ExceptionGroup("", [ExceptionGroup("", [member])])) is member


def test_a_group_of_several_stays_a_group() -> None:
    group = ExceptionGroup("", [OssfsError("x"), OssfsError("y")])
    assert sole_error(group) is group
