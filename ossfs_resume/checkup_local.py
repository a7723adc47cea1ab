"""The steps of a check-up that ask this machine alone: may it mount, where does it keep parts?"""

import os
from pathlib import Path

import trio

from ossfs_resume.bucket_cache import ANOTHER_DIRECTORY, cache_limits
from ossfs_resume.cache import filesystem
from ossfs_resume.cache.eviction import Usage, reserved_bytes
from ossfs_resume.checkup_steps import Findings, Limited
from ossfs_resume.config import Options
from ossfs_resume.errors import CacheError
from ossfs_resume.fuse import preflight
from ossfs_resume.quantities import format_size
from ossfs_resume.wording import quoted


async def open_device(findings: Findings) -> str:
    await trio.to_thread.run_sync(preflight.check_device, abandon_on_cancel=True)
    return "can be opened"


async def look_for_helper(findings: Findings) -> str:
    """Root mounts by itself, and may always let others in."""
    if os.geteuid() == 0:
        return "not needed by root"
    preflight.check_helper()
    if findings.options.allow_other:
        preflight.check_allow_other(preflight.CONFIGURATION)
        return "is there, and users may let others in"
    return "is there"


async def look_at_cache(findings: Findings) -> str:
    return await trio.to_thread.run_sync(_look_at_cache, findings.options, abandon_on_cancel=True)


def _look_at_cache(options: Options) -> str:
    """Nothing is made. Raises CacheError, Limited."""
    directory = options.cache_dir
    existing = nearest(directory)
    filesystem.require_local(directory)
    if filesystem.is_read_only(existing):
        raise Limited(f"the disk of {quoted(directory)} is read-only: only what it has is served")
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        what = "may not be written" if existing == directory else "cannot be made"
        raise CacheError(f"{quoted(directory)} {what}; {ANOTHER_DIRECTORY}")
    space = os.statvfs(existing)
    free, whole = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    kind = filesystem.file_system_type(
        os.path.realpath(existing), Path("/proc/self/mountinfo").read_text(errors="replace")
    )
    text = f"{quoted(directory)} on {kind}, {format_size(free)} free"
    limits = cache_limits(options.cache_size, options.cache_free)
    reserved = reserved_bytes(Usage(0, whole, free, 0, 0), limits)
    if free < reserved + options.part_size:
        raise Limited(
            f"{text}: less than --cache-free keeps; new parts only take the place of old ones"
        )
    return text


def nearest(path: Path) -> Path:
    """The path, or what exists above it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
