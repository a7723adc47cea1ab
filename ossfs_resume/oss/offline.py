"""The client of a mount that was told to be offline: it sends nothing and says so at once."""

from math import inf
from typing import NoReturn

from ossfs_resume.errors import Unreachable
from ossfs_resume.oss.models import ClientStatistics, ListPage, ObjectMeta, Symlink
from ossfs_resume.oss.range_reading import Sink


class OfflineClient:
    """Stands where an OssClient would; every request is Unreachable."""

    def statistics(self) -> ClientStatistics:
        """No request was ever sent."""
        return ClientStatistics()

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        """Raises Unreachable."""
        _refuse()

    async def head(self, key: str) -> ObjectMeta:
        """Raises Unreachable."""
        _refuse()

    async def read_link(self, key: str) -> Symlink:
        """Raises Unreachable."""
        _refuse()

    def concurrency(self) -> float:
        """Refusals are free."""
        return inf

    def failing(self, meta: ObjectMeta) -> str:
        """Nothing was ever asked for."""
        return ""

    def superseded(self, meta: ObjectMeta) -> ObjectMeta | None:
        """There is no way to any version."""
        return None

    def open_reader(self) -> "OfflineClient":
        """Itself."""
        return self

    async def read_range(self, meta: ObjectMeta, stop: int, sink: Sink) -> int | None:
        """Raises Unreachable."""
        _refuse()


def _refuse() -> NoReturn:
    raise Unreachable("not cached, and --offline sends no request")
