"""``ossfs-resume mount`` as a user runs it: the command returns, a process stays behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from support import launcher
from support.emulator import EmulatorProcess

PROGRAM = [sys.executable, "-m", "ossfs_resume"]
TIMEOUT_S = 60.0


class Mount:
    """A mount of the emulator's bucket; use it as a context manager.

    ``start`` may be called again after ``stop`` or ``kill``: the cache stays. What is not forked
    (see `launcher`) has the command line that a user's has.
    """

    def __init__(
        self,
        emulator: EmulatorProcess,
        place: Path,
        *,
        source: str = "",
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        is_forked: bool = True,
    ) -> None:
        self.emulator = emulator
        self.point = place / "mnt"
        self.cache = place / "cache"
        self.log = place / "mount.log"
        self.source = source or f"oss://{emulator.bucket}"
        self.point.mkdir(parents=True, exist_ok=True)
        self._options = list(options)
        self._environment = dict(environment or {})
        self._is_forked = is_forked
        self.pid = 0

    def command(self) -> list[str]:
        """The command line."""
        return [
            *PROGRAM, "mount", "--endpoint", self.emulator.url, "--region", self.emulator.region,
            "--cache-dir", str(self.cache), "--log-file", str(self.log),
            "--cache-free", "0",  # whatever this machine's disk has left
            *self._options, self.source, str(self.point),
        ]  # fmt: skip

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, whatever that is."""
        environment = self.emulator.environment | self._environment
        if self._is_forked:
            return launcher.run(self.command()[len(PROGRAM) :], environment)
        return subprocess.run(
            self.command(),
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def start(self) -> Self:
        """Mount, or fail with what the command said."""
        result = self.run()
        assert result.returncode == 0, result.stderr
        self.pid = self.statistics()["pid"]
        return self

    def statistics(self) -> dict[str, Any]:
        """``user.ossfs.stats`` of the root."""
        return json.loads(os.getxattr(self.point, "user.ossfs.stats"))

    def attribute(self, path: str, name: str) -> str:
        """An extended attribute of a file, by its name without ``user.ossfs.``."""
        return os.getxattr(self.point / path, f"user.ossfs.{name}").decode()

    def kill(self) -> None:
        """End the process as a crash would, and detach what it leaves behind."""
        self.crash()
        self._detach()

    def crash(self) -> None:
        """End the process as a crash would; what it leaves answers ENOTCONN until it is mounted
        again."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process as a service manager would; it unmounts by itself."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        descriptor = os.pidfd_open(self.pid)
        try:
            signal.pidfd_send_signal(descriptor, number)
            wait_for_end(descriptor)
        finally:
            os.close(descriptor)
        self.pid = 0

    def _detach(self) -> None:
        subprocess.run(["umount", "-l", self.point], capture_output=True, check=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.pid:
            try:
                self.stop()
            except (ProcessLookupError, TimeoutError):
                self.pid = 0
        self._detach()


def wait_for_end(descriptor: int, timeout_s: float = TIMEOUT_S) -> None:
    """Return when the process of a pidfd has ended. Raises TimeoutError."""
    import select

    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if not poller.poll(timeout_s * 1000):
        raise TimeoutError("the process did not end")
