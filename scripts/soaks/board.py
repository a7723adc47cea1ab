"""What the soak and its readers, which are processes of their own, tell each other.

Words in shared memory, each written by one side, so that no reader that dies can hold a lock; what
is found is appended to a file, one line a write.
"""

import ctypes
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawArray, RawValue
from pathlib import Path

WRONG = "wrong bytes"
ERROR = "error"
DIED = "died"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a reader met: ``what`` is `WRONG`, `ERROR` or `DIED`."""

    what: str
    text: str
    errno: int = 0


class Board:
    """``newest`` versions by object; ``generations`` by mount, odd while it may be gone.

    By reader: the ``mounts`` and ``met`` generations it reads from, since when it waits for the
    ``calls`` it is in (0: for none), its ``passes`` and the bytes it ``compared``; whether it is
    ``reading``, which none does when ``is_paused``.
    """

    def __init__(self, place: Path, objects: int, mounts: int, readers: int) -> None:
        self.newest = RawArray(ctypes.c_uint64, [1] * objects)
        self.generations = RawArray(ctypes.c_uint64, [1] * mounts)
        self.mounts = RawArray(ctypes.c_uint64, readers)
        self.met = RawArray(ctypes.c_uint64, readers)
        self.calls = RawArray(ctypes.c_double, readers)
        self.passes = RawArray(ctypes.c_uint64, readers)
        self.compared = RawArray(ctypes.c_uint64, readers)
        self.reading = RawArray(ctypes.c_bool, readers)
        self.is_paused = RawValue(ctypes.c_bool, False)
        self.is_over = RawValue(ctypes.c_bool, False)
        self._path = place / "findings"
        self._path.touch()
        self._position = 0

    def report(self, finding: Finding) -> None:
        """Tell the soak; called by readers."""
        line = json.dumps([finding.what, finding.text, finding.errno]) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def findings(self) -> list[Finding]:
        """What was reported since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            lines = file.readlines()
            self._position = file.tell()
        return [Finding(*json.loads(line)) for line in lines]

    @contextmanager
    def waiting(self, reader: int) -> Iterator[None]:
        """The reader is in a call that the mount has to answer."""
        self.calls[reader] = time.monotonic()
        try:
            yield
        finally:
            self.calls[reader] = 0

    def longest_wait(self) -> tuple[float, int]:
        """How many seconds the reader has waited that waits longest, and which it is."""
        now = time.monotonic()
        return max((now - began if began else 0, n) for n, began in enumerate(list(self.calls)))

    def is_excused(self, reader: int) -> bool:
        """Whether the mount went away since the reader began with its file."""
        return self.generations[self.mounts[reader]] != self.met[reader]

    def is_there(self, mount: int) -> bool:
        """Whether its readers' errors count."""
        return self.generations[mount] % 2 == 0

    def set_there(self, mount: int, is_there: bool) -> None:
        """Tell its readers whether it is mounted; does nothing if they know."""
        self.generations[mount] += self.is_there(mount) != is_there


def summary(findings: Iterable[Finding]) -> list[str]:
    """A line for each kind of finding, mere errors last: how many, and the first of them."""
    kinds: dict[tuple[str, int], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.what, finding.errno), []).append(finding)
    worst_first = sorted(kinds.items(), key=lambda kind: kind[0][0] == ERROR)
    return [f"{len(found)} x {what}: {found[0].text}" for (what, _), found in worst_first]
