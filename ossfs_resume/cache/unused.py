"""Stores that were made for a mount which never came about: nobody is to meet them again."""

import logging
from pathlib import Path

from ossfs_resume.cache import workbench
from ossfs_resume.cache.notes import Notes
from ossfs_resume.errors import CacheError

_log = logging.getLogger(__name__)


def remove_if_never_mounted(directory: Path, identity: str) -> None:
    """Remove all of a store that was never mounted and that nobody has open. Never raises: what
    stays then is empty."""
    try:
        with workbench.opened(directory, identity) as bench:
            is_unused = not bench.owners and Notes(bench.catalog).is_new
        if is_unused:
            workbench.clear(directory, identity)
    except CacheError as error:
        _log.debug("cannot remove a store that was never mounted: %s", error)
