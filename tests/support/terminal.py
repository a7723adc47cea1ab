"""Commands on a terminal, as a person sees them."""

import os
import pty
from pathlib import Path

from support.mount import PROGRAM, TIMEOUT_S, wait_for_end


class OnTerminal:
    """``ossfs-resume ARGUMENTS`` on a terminal of 100 columns and 30 lines.

    ``shown`` is all that it has written.
    """

    def __init__(self, *arguments: str | Path) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(COLUMNS="100", LINES="30", TERM="xterm-256color")
            os.execv(PROGRAM[0], [*PROGRAM, *map(str, arguments)])
        self.shown = b""

    def until(self, text: bytes) -> None:
        """Return when this was shown."""
        while text not in self.shown:
            piece = os.read(self._terminal, 65536)
            assert piece, self.shown
            self.shown += piece

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._terminal, b"\x03")

    def end(self) -> int:
        """Wait for its end and return its exit status."""
        descriptor = os.pidfd_open(self.pid)
        try:
            while True:
                self.shown += os.read(self._terminal, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            wait_for_end(descriptor, TIMEOUT_S)
        os.close(descriptor)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
