"""What a mount holds: as a line of a table, and whether it has grown."""

from support.mount import Mount
from support.processes import Footprint

MIB = 1 << 20
GROWTH = 1.5
FEW = 8
HEADING = "RSS MiB  fds  threads"


def shown(mount: Mount) -> str:
    """The columns of `HEADING`."""
    if not mount.pid:
        return f"{'-':>7}  {'-':>3}  {'-':>7} "
    held = Footprint.of(mount.pid)
    return f"{held.resident_bytes / MIB:7.1f}  {held.descriptors:>3}  {held.threads:>7} "


def growth(mount: Mount, before: Footprint) -> str:
    """In which way it holds more than before, empty if not: `GROWTH` times the memory, `FEW`
    descriptors or threads more."""
    now = Footprint.of(mount.pid)
    is_small = (
        now.resident_bytes <= GROWTH * before.resident_bytes
        and now.descriptors <= before.descriptors + FEW
        and now.threads <= before.threads + FEW
    )
    return "" if is_small else f"{before} became {now}"


def is_busy(mount: Mount) -> bool:
    """Whether it still writes down what was read before."""
    cache = mount.statistics()["cache"]
    return bool(cache["uncommitted_bytes"] or cache["unsynced_bytes"] or cache["open_entries"])
