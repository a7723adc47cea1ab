"""Bytes per second, kept by reserving time: the pure part of rate limits."""

from dataclasses import dataclass

_SLICES_PER_SECOND = 20
_MIN_SLICE = 512
_MAX_LAG_S = 0.05


@dataclass(slots=True)
class Pacer:
    """A line of fixed rate: what is sent through it occupies it for size / rate seconds.

    Who comes back a little late continues where the last reservation ended, so that late wake-ups
    never add up; a line idle for longer starts anew, so that unused time is not saved for a burst.
    """

    _free_at: float = 0.0

    def reserve(self, size: int, rate: float, now: float) -> float:
        """Reserve ``size`` bytes at ``rate`` bytes/s; return the seconds until they have passed."""
        is_idle = now - self._free_at > _MAX_LAG_S
        self._free_at = (now if is_idle else self._free_at) + size / rate
        return self._free_at - now


def slice_size(rates: tuple[float, ...], maximum: int) -> int:
    """Bytes to send at once, so that the slowest of ``rates`` (0 = none) flows evenly."""
    limits = [int(rate / _SLICES_PER_SECOND) for rate in rates if rate > 0]
    return max(min([maximum, *limits]), _MIN_SLICE)
