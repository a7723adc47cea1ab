"""Python imports this first in the mounts of a soak: SIGRTMIN appends all stacks to a file.

The file is opened when the signal comes: a mount closes what it inherits.
"""

import faulthandler
import os
import signal

_PATH = os.environ.get("SOAK_STACKS", "")


def _dump(_number: int, _frame: object) -> None:
    with open(_PATH, "a") as file:
        faulthandler.dump_traceback(file)


if _PATH:
    signal.signal(signal.SIGRTMIN, _dump)
