"""What goes on around the readers: verbs, objects that are replaced, an origin that fails."""

import errno
import os
import random
from collections.abc import Mapping
from pathlib import Path

from soaks.manners import Pieces, Waiting
from support.blocks import content

EXCUSED = frozenset({errno.ESTALE, errno.EIO, errno.ETIMEDOUT})
"""What a reader may get: the object was replaced, or the origin failed for too long."""
REFUSED = EXCUSED | {errno.ENOSPC, errno.EBUSY, errno.ENODATA, errno.EAGAIN}
"""What a verb may answer beside that: pinned, open, no room."""

_VERBS = ("materialize", "cancel", "pin", "unpin", "unpin", "evict", "evict", "verify", "refresh")

FAULTS: tuple[Mapping[str, object], ...] = (
    {},
    {},
    {"latency_ms": 80},
    {"fail_every": 4},
    {"reset_every": 5},
    {"truncate_every": 3, "truncate_after_bytes": 70_001},
    {"stall_every": 7, "stall_after_bytes": 30_001},
    {"total_bytes_per_s": 4e6},
    {"hang": "data"},
    {"hang": "metadata"},
    {"mischief": ["fail", "reset", "stall", "truncate", "html"], "mischief_share": 0.05},
)


def verbs(path: Path, size: int, chance: random.Random, waiting: Waiting) -> Pieces:
    """A manner that reads nothing: it asks something of a file, or looks around."""
    what = chance.choice((*_VERBS, "look", "status"))
    try:
        with waiting():
            _ask(path, what)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
    yield from ()


def _ask(path: Path, what: str) -> None:
    if what == "look":
        os.statvfs(path)
        with os.scandir(path.parent) as entries:
            for entry in entries:
                entry.stat()
    elif what == "status":
        os.getxattr(path, "user.ossfs.status")
        os.getxattr(path.parent, "user.ossfs.stats")
    else:
        os.setxattr(path, f"user.ossfs.{what}", b"1")


def replace(bucket: Path, name: str, version: int, size: int) -> None:
    """Put the next version in place of an object, whole at once."""
    new = bucket.with_name("new")
    new.write_bytes(content(name, version, 0, size))
    os.replace(new, bucket / name)


def quiet(points: list[Path], names: list[str]) -> None:
    """Let go of what was pinned and of what is still to be fetched."""
    for point in points:
        for name in names:
            for verb in ("cancel", "unpin"):
                os.setxattr(point / name, f"user.ossfs.{verb}", b"1")
