"""Which parts the processes that share a store are fetching at this moment.

A claim is a lock on a range of bytes of the file ``claims``, which stays empty: one byte stands for
one part, at a place that a hash of the object's version gives. The kernel keeps the locks (see
``locks``) and answers in a microsecond; nothing is ever left behind to be cleaned up. Two versions
whose places collide wait for each other for nothing, a few seconds, and no more.

Claims save requests. No byte depends on them: without the file everybody fetches for himself.
"""

import fcntl
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

from ossfs_resume.cache.directory import Directory
from ossfs_resume.cache.geometry import MAX_PARTS
from ossfs_resume.cache.locks import is_held_by_others, lock
from ossfs_resume.cache.models import ObjectVersion, encoded
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)

NAME = "claims"

_PRESENCE = 1 << 62
"""Beyond all places: every process holds a shared lock here, so that others see it."""


class Claims:
    """The claims of one process, in the folder that ``current`` says. Nothing blocks, nothing
    raises."""

    def __init__(self, current: Callable[[], Directory]) -> None:
        self._current = current
        self._descriptor = -1
        self.reopen()

    def reopen(self) -> None:
        """Give up everything, and begin with the file that has the name by now."""
        try:
            descriptor = self._current().open(NAME, os.O_RDWR | os.O_CREAT)
            if self._descriptor < 0:
                self._descriptor = descriptor
            else:
                # The same number, so that nobody beside us locks a file that is not ours.
                os.dup2(descriptor, self._descriptor, inheritable=False)
                os.close(descriptor)
            self._lock(fcntl.F_RDLCK, _PRESENCE, 1)
        except (OSError, CacheError) as error:
            _log.debug("cannot see what other processes fetch: %s", error)

    def __repr__(self) -> str:
        return f"<Claims {self._descriptor}>"

    def has_others(self) -> bool:
        """Whether another living process uses the store."""
        if self._descriptor < 0:
            return False
        try:
            return is_held_by_others(self._descriptor, _PRESENCE, 1)
        except OSError:
            return False

    def take(self, version: ObjectVersion, parts: range) -> bool:
        """Claim parts; False, and nothing is claimed, if another process has one of them."""
        try:
            self._lock(fcntl.F_WRLCK, _place(version) + parts.start, len(parts))
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def release(self, version: ObjectVersion, parts: range) -> None:
        """Give up what was claimed of these parts."""
        try:
            self._lock(fcntl.F_UNLCK, _place(version) + parts.start, len(parts))
        except OSError as error:
            _log.debug("cannot give up a claim: %s", error)

    def close(self) -> None:
        """Give up everything."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, kind: int, start: int, length: int) -> None:
        if self._descriptor >= 0:
            lock(self._descriptor, kind, start, length)


@lru_cache(maxsize=64)
def _place(version: ObjectVersion) -> int:
    identity = b"\0".join((encoded(version.key), encoded(version.etag), str(version.size).encode()))
    number = int.from_bytes(blake2b(identity, digest_size=5).digest(), "big")
    return number * MAX_PARTS
