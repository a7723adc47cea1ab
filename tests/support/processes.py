"""What a process has used, and how it ended; by /proc, for it need not be a child."""

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def cpu_seconds(pid: int) -> float:
    """Processor time, which unlike the clock's is much the same on a busy machine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds at one moment. Raises FileNotFoundError for one that is gone."""

    resident_bytes: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        """Read it from /proc."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        return cls(
            int(status["VmRSS"].split()[0]) * 1024,
            len(os.listdir(f"/proc/{pid}/fd")),
            int(status["Threads"]),
        )


def adopt_orphans() -> None:
    """Become the parent of what our children leave behind, so that `exit_status` knows its end."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Kill every child that is left: adopted mounts that nobody can stop any more."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for child in map(int, children):
        os.kill(child, signal.SIGKILL)


def exit_status(pid: int) -> int | None:
    """How an adopted process ended, minus the signal if by one; None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None
