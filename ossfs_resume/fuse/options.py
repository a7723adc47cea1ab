"""The mount options handed to libfuse, worked out from values.

libfuse and fusermount3 split options at commas and take backslashes as escapes; pyfuse3 encodes
them in ASCII. ``ro`` is never passed on: the kernel would refuse every setxattr, and with it every
verb. ``max_read`` ends a pyfuse3 mount at its first request, without an error. ``auto_unmount`` is
never asked for: after a crash it would leave an empty directory, and a program that copies it would
delete the copy.
"""

from dataclasses import dataclass
from urllib.parse import quote

from ossfs_resume.errors import MountError
from ossfs_resume.fuse.mounts import SUBTYPE

# Accepted and without effect: what they ask for is so anyway, or must not be passed on.
_IMPLIED = frozenset(
    {"default_permissions", "defaults", "noatime", "nodev", "nosuid", "relatime", "ro", "rw"}
)
_PASSED_ON = frozenset({"debug", "noexec"})


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What to mount and where.

    ``source`` is what the mount table shows, ``options`` are the user's own mount options.
    ``read_ahead_kib`` and ``max_background`` are the kernel limits to ask for; ``stop_grace_s`` is
    how long waiting readers get at a stop, spent at most twice.
    """

    source: str
    mountpoint: str
    allow_other: bool = False
    options: tuple[str, ...] = ()
    read_ahead_kib: int = 512
    max_background: int = 4096
    stop_grace_s: float = 1.0


def libfuse_options(settings: SessionSettings) -> frozenset[str]:
    """The ``-o`` values for libfuse; MountError names an option that cannot be had."""
    options = {
        f"fsname={_escape(settings.source)}",
        f"subtype={SUBTYPE}",
        "default_permissions",
        "noatime",
        "nodev",
        "nosuid",
    }
    if settings.allow_other:
        options.add("allow_other")
    return frozenset(options | _checked(settings.options))


def _checked(options: tuple[str, ...]) -> set[str]:
    for option in options:
        if option not in _IMPLIED | _PASSED_ON:
            raise MountError(f"mount option {option!r} is not supported; leave it out")
    return set(options) - _IMPLIED


def _escape(source: str) -> str:
    """``source`` with libfuse's escapes; what is not printable ASCII is percent-encoded."""
    printable = "".join(
        char if " " <= char <= "~" else quote(char, errors="surrogateescape") for char in source
    )
    return printable.replace("\\", "\\\\").replace(",", "\\,")
