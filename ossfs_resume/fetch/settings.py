"""What a mount's options say about fetching."""

import math
from dataclasses import dataclass

from ossfs_resume.fetch.readahead import MIB


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """``timeout_s`` is the time a reader waits without progress; 0 waits for the network.
    ``connections`` bounds the requests that run at once. ``bandwidth`` and
    ``background_bandwidth`` are bytes per second, 0 without limit. ``room_bytes`` is what the cache
    may hold. ``predicts``: small files are fetched before they are opened."""

    timeout_s: float = 60.0
    connections: int = 32
    request_bytes: int = 4 * MIB
    read_ahead_bytes: int = 128 * MIB
    room_bytes: float = math.inf
    bandwidth: float = 0
    background_bandwidth: float = 0
    predicts: bool = True
