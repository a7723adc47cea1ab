"""What the kernel is told of each error: one table, nearest class in the MRO wins.

The numbers are chosen for what callers do with them. ESTALE makes the kernel look the name up again
and retry an open; ENOENT makes programs believe that a file is gone, so nothing but a definite
answer of the origin may become ENOENT; ENOTSUP makes coreutils stop asking a device for ACLs.
"""

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ossfs_resume.errors import (
    AccessDenied,
    BadValue,
    DiskFull,
    InUse,
    IsADirectory,
    NoProgress,
    NoSpace,
    NoSuchAttribute,
    NoSuchName,
    NotADirectory,
    NotFound,
    NotSupported,
    ObjectChanged,
    OriginTimeout,
    OssfsError,
    ReadOnly,
    StaleVersion,
)

# A class that is not listed inherits its parent's number; the root of the tree is EIO.
ERRNO_BY_CLASS: Final[Mapping[type[Exception], int]] = MappingProxyType(
    {
        OssfsError: errno.EIO,
        NotFound: errno.ENOENT,
        NoSuchName: errno.ENOENT,
        AccessDenied: errno.EACCES,
        ObjectChanged: errno.ESTALE,
        StaleVersion: errno.ESTALE,
        OriginTimeout: errno.ETIMEDOUT,
        NoProgress: errno.ETIMEDOUT,
        NoSpace: errno.ENOSPC,
        DiskFull: errno.ENOSPC,
        InUse: errno.EBUSY,
        NotADirectory: errno.ENOTDIR,
        IsADirectory: errno.EISDIR,
        ReadOnly: errno.EROFS,
        NoSuchAttribute: errno.ENODATA,
        BadValue: errno.EINVAL,
        NotSupported: errno.ENOTSUP,
    }
)


def errno_of(error: BaseException) -> int:
    """The errno of ``error``'s nearest listed ancestor; EIO for anything unknown."""
    numbers = (ERRNO_BY_CLASS[cls] for cls in type(error).__mro__ if cls in ERRNO_BY_CLASS)
    return next(numbers, errno.EIO)


def sole_error(error: Exception) -> Exception:
    """The error inside groups that hold nothing else; nurseries wrap even a single failure."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
