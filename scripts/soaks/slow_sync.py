"""Slower flushes of the disk, by a library that the mounts preload: windows between a change and
its commit, which are too short to be met on a fast disk, grow wide."""

import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


def environment(place: Path, delay_ms: int) -> dict[str, str]:
    """What a mount must be started with; compiles into ``place``. Nothing for a delay of 0."""
    if not delay_ms:
        return {}
    library = place / "slow_sync.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-o", library, _SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(library), "SLOW_SYNC_MS": str(delay_ms)}
