"""Reading what a mount has cached, beside it: nothing is added, and nothing kept from being removed
but the files that are being read.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ossfs_resume.cache import workbench
from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.geometry import MIN_PART_SIZE
from ossfs_resume.cache.loading import Loader
from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.cache.trust import Trust


class Lender:
    """The entries of a cache that is open. Methods block and raise CacheError."""

    def __init__(self, bench: workbench.Workbench) -> None:
        self._catalog = bench.catalog
        self._loader = Loader(
            bench.catalog,
            bench.storages,
            MIN_PART_SIZE,  # of nothing: what the catalogue does not know is not lent
            Trust(lambda: (), lambda versions: None),
            lambda entry, written: None,
            lambda size: nullcontext(),
        )

    @contextmanager
    def lent(self, version: ObjectVersion) -> Iterator[Entry | None]:
        """An entry to be read, if there is anything of it; what is read is compared with its
        checksum."""
        if self._catalog.find(version) is None:
            yield None
            return
        (entry,) = self._loader.load([version])
        try:
            yield entry
        finally:
            entry.close()


@contextmanager
def lender(directory: Path, identity: str) -> Iterator[Lender | None]:
    """That of a store, None if there is no such store. Raises CacheError.

    A mount that has it, or comes to it, goes on: the catalogue is shared from the beginning.
    """
    if identity not in workbench.identities(directory):
        yield None
        return
    with workbench.opened(directory, identity, is_shared=True) as bench:
        yield Lender(bench)
