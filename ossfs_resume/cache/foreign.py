"""Notices when somebody else changes an open file.

What this process wrote it reads back unchecked, so it must notice when somebody else touches the
file: a change shows in its size and in the time of its last change (ctime, which nobody can set).
A change of our own shows there as well, so while one is under way nothing is compared but sizes,
which ours never lower. Only what others change meanwhile can go unnoticed, and a truncation not
even then.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_NONE: Mapping[int, os.stat_result] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Seen:
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    changed_ns: int


def _seen(status: os.stat_result) -> Seen:
    return Seen(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


class ForeignChanges:
    """Of the open segments of one data file, whose lock is held by whoever calls a method; only
    ``seen`` needs none."""

    def __init__(self) -> None:
        self._seen: dict[int, Seen] = {}
        self._changing = 0
        self._is_touched = False

    @property
    def seen(self) -> Mapping[int, Seen]:
        """Each open segment as it was when this process opened it or last wrote to it."""
        return dict(self._seen)

    def opened(self, segment: int, descriptor: int) -> None:
        """From now on changes of this segment are noticed."""
        self._seen[segment] = _seen(os.fstat(descriptor))

    def closed(self) -> None:
        """No segment is open any more."""
        self._seen.clear()

    def take(self, descriptors: Mapping[int, int]) -> bool:
        """Whether somebody else has changed an open segment since this was last asked."""
        if not self._changing:
            self._compare(descriptors)
        was_touched, self._is_touched = self._is_touched, False
        return was_touched

    def begin(self, segment: int, descriptors: Mapping[int, int]) -> bool:
        """A change of our own begins, others may be under way; whether the file has a name."""
        status = os.fstat(descriptors[segment])
        if not self._changing:
            self._compare(descriptors, {segment: status})
        elif status.st_size < self._seen[segment].size:
            self._is_touched = True
        self._changing += 1
        return status.st_nlink > 0

    def end(self, segment: int, descriptor: int) -> None:
        """A change of our own has ended."""
        self._changing -= 1
        self._seen[segment] = _seen(os.fstat(descriptor))

    def _compare(
        self, descriptors: Mapping[int, int], known: Mapping[int, os.stat_result] = _NONE
    ) -> None:
        for segment, descriptor in descriptors.items():
            found = _seen(known.get(segment) or os.fstat(descriptor))
            if found != self._seen[segment]:
                self._seen[segment] = found
                self._is_touched = True
