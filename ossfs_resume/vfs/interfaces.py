"""What the tree needs of the origin, of the cache and of the engine between them."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ossfs_resume.cache.models import ObjectVersion
from ossfs_resume.fetch.readahead import AccessPattern
from ossfs_resume.oss.models import ListPage, ObjectMeta, Symlink

if TYPE_CHECKING:
    from ossfs_resume.fetch.download import Download


class Lister(Protocol):
    """Metadata requests. All raise OriginError, after the retries that make sense."""

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        """One page of the keys below ``prefix``."""

    async def head(self, key: str) -> ObjectMeta:
        """The current version of one object. Raises NotFound."""

    async def read_link(self, key: str) -> Symlink:
        """A symlink object itself."""


class Predictions(Protocol):
    """Who fetches what is predicted."""

    def predict(self, metas: Sequence[ObjectMeta], *, is_whole: bool) -> None:
        """These will be opened soon, and read from the beginning or as a whole."""

    def give_up(self, metas: Sequence[ObjectMeta]) -> None:
        """These will not, as it seems."""


class ByteSource(Predictions, Protocol):
    """Bytes of object versions, from the cache or the origin."""

    async def open(self, meta: ObjectMeta) -> "Download":
        """Hold a version for reading; `close` gives it up."""

    def close(self, download: "Download") -> None:
        """Give up one `open`."""

    def read_at_once(
        self, download: "Download", pattern: AccessPattern, offset: int, length: int
    ) -> bytes | memoryview | None:
        """Exactly these bytes, which must lie within the object; None if they are to be waited
        for."""

    async def read(self, download: "Download", offset: int, length: int) -> bytes | memoryview:
        """The same when they are there."""

    async def confirm(self, download: "Download") -> None:
        """Raises ObjectChanged or NotFound if the origin says that the version is gone."""


class CacheView(Protocol):
    """What is cached; all of it blocks, but for what says that it is in memory."""

    @property
    def changes(self) -> int:
        """Rises whenever this process may have changed the catalogue. Memory only."""

    def open_bytes(self, version: ObjectVersion) -> int | None:
        """Bytes present of a version that is in use; None if it is not. Memory only."""

    def opened(self) -> Mapping[ObjectVersion, int]:
        """Bytes present of all versions that are in use. Memory only."""

    def cached_bytes(self, versions: Sequence[ObjectVersion]) -> Sequence[int]:
        """For each version how many of its bytes are present."""

    def cached_below(self, prefix: str, limit: int) -> Mapping[ObjectVersion, int] | None:
        """Bytes present of all versions below a prefix; None if there are more than ``limit``."""

    def statvfs(self) -> os.statvfs_result:
        """Space of the disk that holds the cache."""
