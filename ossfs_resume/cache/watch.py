"""Notices what nobody tells this process: it looks again and again.

Another program may fill the disk, remove the cache directory or make the disk writable again; a
tool of ours in another process may find that bytes which this one trusts are bad.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from ossfs_resume.errors import CacheError
from ossfs_resume.shortages import log_failure

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0

Look = Callable[[], None]
"""Looks at one thing and does what it asks for; may block. Raises OSError or CacheError, and is
called again an interval later."""


class Watch:
    """Calls ``looks``, one after the other, in a thread of its own: every ``interval_s`` seconds,
    by default once a second."""

    def __init__(self, name: str, looks: Sequence[Look], interval_s: float | None = None) -> None:
        self._looks = looks
        self._interval_s = INTERVAL_S if interval_s is None else interval_s
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further look; wait for one that is under way, which needs the catalogue."""
        self._is_stopping.set()
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.wait(self._interval_s):
            for look in self._looks:
                self._perform(look)

    def _perform(self, look: Look) -> None:
        try:
            look()
        except (OSError, CacheError) as error:
            _log.debug("cannot look after the cache: %s", error)
        except Exception as error:
            log_failure(_log, "looking after the cache", error)
