"""What has arrived from the origin: how much, how fast, and when last.

The rate decides how many requests the link bears. The time of the newest byte decides whether a
reader whose own request is still queued goes on waiting. Times are seconds of any one clock.
"""

import math


class RateMeter:
    """Bytes per second while something is being transferred; idle time does not count.

    ``add`` takes the time in seconds. ``rate`` is None until it was measured for a moment: until
    then only a few requests run.
    """

    FIRST_INTERVAL_SECONDS = 0.05
    INTERVAL_SECONDS = 0.25

    def __init__(self) -> None:
        self.rate: float | None = None
        self._since = 0.0
        self._bytes = 0

    def begin(self, now: float) -> None:
        """The first transfer after an idle time starts."""
        self._since, self._bytes = now, 0

    def add(self, count: int, now: float) -> bool:
        """Count bytes that arrived; True if ``rate`` changed."""
        self._bytes += count
        elapsed = now - self._since
        is_first = self.rate is None
        if elapsed < (self.FIRST_INTERVAL_SECONDS if is_first else self.INTERVAL_SECONDS):
            return False
        measured = self._bytes / elapsed
        self.rate = measured if self.rate is None else (self.rate + measured) / 2
        self._since, self._bytes = now, 0
        return True


class Traffic:
    """Of all transfers of a mount together."""

    def __init__(self) -> None:
        self._meter = RateMeter()
        self.bytes_received = 0
        self.newest_byte = -math.inf
        """When the newest byte arrived, or will: see `excuse`."""

    def __repr__(self) -> str:
        return f"<Traffic {self.bytes_received} bytes, {self.bytes_per_second} a second>"

    @property
    def bytes_per_second(self) -> float | None:
        """None until measured."""
        return self._meter.rate

    def begin(self, now: float) -> None:
        """The first transfer after an idle time starts."""
        self._meter.begin(now)

    def arrived(self, count: int, now: float) -> bool:
        """Count bytes; True if the rate is another one now."""
        self.newest_byte = now
        self.bytes_received += count
        return self._meter.add(count, now)

    def excuse(self, until: float) -> None:
        """Nothing is read until then by our own will; that is no silence of the origin."""
        self.newest_byte = max(self.newest_byte, until)
