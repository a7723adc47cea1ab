"""The exception tree. One class for each decision that a caller can take.

::

    OssfsError
     ├── SettingsError            an option or argument is wrong: say which, exit
     ├── MountError               the mount cannot be made: say why, exit
     ├── OriginError              the bucket answered, or failed to
     │    ├── NotFound            no such object (404 NoSuchKey, deleted version)
     │    ├── NoSuchBucket        the whole mount is pointless
     │    ├── AccessDenied        credentials, policy, wrong endpoint: retrying does not help
     │    │    └── NotPermitted   a policy forbids this operation; others may be allowed
     │    ├── ObjectChanged       412, or another ETag or size than the one asked for
     │    ├── NotReadable         archived and not restored
     │    ├── BadRequest          the origin finds our request wrong; a bug or an odd key
     │    └── TransientError      another attempt may succeed
     │         ├── Unreachable    name, route, connection, reset
     │         │    ├── TlsFailed the other side's certificate or protocol
     │         │    └── Disconnected  a connection ended without any answer
     │         ├── OriginTimeout  connected, but nothing arrives
     │         ├── Throttled      told to slow down
     │         ├── ServerFailed   5xx
     │         ├── ClockSkewed    the signature's time was refused; correct it and sign again
     │         └── BadAnswer      not what was asked for: wrong range, length, encoding, body
     ├── CacheError               the cache directory or its disk; never a reader's error
     │    └── DiskFull            the disk has no room
     ├── TargetError              what is downloaded cannot be put where it shall be
     │    └── TargetInUse         another run downloads to the same file
     ├── CorruptObject            all parts arrived, their CRC-64 is not the origin's
     ├── StaleVersion             the version that a handle or inode names exists no longer
     ├── NoSpace                  the cache has no room for what shall stay in it
     ├── InUse                    what shall be removed is open, or pinned
     ├── NoProgress               a reader's time without progress is up
     ├── ShuttingDown             the mount is going away
     └── TreeError                a file-system operation that cannot be
          ├── NoSuchName  NotADirectory  IsADirectory  ReadOnly
          └── NoSuchAttribute  BadValue  NotSupported
"""

import copy
from typing import TypeVar

ErrorType = TypeVar("ErrorType", bound="OssfsError")


class OssfsError(Exception):
    """Base of every error this package raises on purpose; its text is one line for a human."""

    is_told = False
    """Whether a line of the log has told already what is behind it."""

    @property
    def fields(self) -> dict[str, object]:
        """What a log for programs says of it beside its text."""
        return {}


class SettingsError(OssfsError):
    """An option, environment variable or configuration value is wrong; the text names it."""


class MountError(OssfsError):
    """The file system cannot be mounted; the text is the reason and the remedy."""


class OriginError(OssfsError):
    """The origin refused, failed or answered wrongly.

    ``status`` is the HTTP status (0 without an answer); ``code``, ``request_id`` and ``ec`` are
    OSS's own (oss-protocol section 6) and empty when the answer had none.
    """

    def __init__(
        self, message: str, *, status: int = 0, code: str = "", request_id: str = "", ec: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.ec = ec

    @property
    def fields(self) -> dict[str, object]:
        """What the origin said, as far as it said anything."""
        said = {
            "status": self.status,
            "code": self.code,
            "request_id": self.request_id,
            "ec": self.ec,
        }
        return {name: value for name, value in said.items() if value}


class NotFound(OriginError):
    """The object does not exist."""


class NoSuchBucket(OriginError):
    """The bucket does not exist."""


class AccessDenied(OriginError):
    """Credentials, policy or addressing forbid it; another attempt would fail alike."""


class NotPermitted(AccessDenied):
    """A policy or an ACL forbids this operation to a key that is known; others may be allowed."""


class ObjectChanged(OriginError):
    """The object is no longer the version that was asked for."""


class NotReadable(OriginError):
    """The object is archived and has not been restored."""


class BadRequest(OriginError):
    """The origin finds the request itself wrong."""


class TransientError(OriginError):
    """Another attempt may succeed."""


class Unreachable(TransientError):
    """No connection, or it broke."""


class TlsFailed(Unreachable):
    """The other side's certificate is not trusted, or it speaks no TLS that this side speaks."""


class Disconnected(Unreachable):
    """A connection ended without any answer: it may have been idle for just too long."""


class OriginTimeout(TransientError):
    """The origin did not answer, or stopped sending, within the deadline."""


class Throttled(TransientError):
    """The origin asks for fewer or slower requests."""


class ServerFailed(TransientError):
    """The origin failed by its own account (5xx)."""


class ClockSkewed(TransientError):
    """The origin refused the signature's time."""


class BadAnswer(TransientError):
    """The answer is not what was asked for; its bytes must not be used."""


class CacheError(OssfsError):
    """The cache directory, its catalogue or its disk failed."""


class DiskFull(CacheError):
    """The cache's disk has no room for what has to be written."""


class TargetError(OssfsError):
    """A file cannot be made, replaced or named as a download wants it; the text names it."""


class TargetInUse(TargetError):
    """Another process, or another thread of this one, is downloading to the same file."""


class CorruptObject(OssfsError):
    """All parts arrived but their combined CRC-64 is not the origin's."""


class StaleVersion(OssfsError):
    """The object version that an inode or handle stands for exists no longer."""


class NoSpace(OssfsError):
    """The cache cannot hold what it is asked to keep."""


class InUse(OssfsError):
    """Cached data that shall be removed is being used, or pinned."""


class NoProgress(OssfsError):
    """No byte arrived for a reader within its timeout."""


class ShuttingDown(OssfsError):
    """The mount is being taken down."""


class TreeError(OssfsError):
    """A file-system operation that cannot be performed on this path."""


class NoSuchName(TreeError):
    """No object and no directory has this name."""


class NotADirectory(TreeError):
    """A file was used as a directory."""


class IsADirectory(TreeError):
    """A directory was used as a file."""


class ReadOnly(TreeError):
    """The bucket is never written to."""


class NoSuchAttribute(TreeError):
    """No extended attribute of this name."""


class BadValue(TreeError):
    """A value given to an extended attribute makes no sense."""


class NotSupported(TreeError):
    """Attributes outside ``user.``; the kernel then stops asking for them."""


def without_frames(error: ErrorType) -> ErrorType:
    """The same error to be kept: one that was raised holds its frames, and they hold buffers."""
    return copy.copy(error)


def forget_frames(error: BaseException) -> None:
    """Its traceback, and those of its causes, would keep what the frames hold in memory, up to
    megabytes each, until the garbage collector comes by, which is seldom in a mount."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
