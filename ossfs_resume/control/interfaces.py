"""What jobs need of the bucket, of the fetch engine and of the catalogue, and nothing more."""

from typing import Protocol

from ossfs_resume.cache.models import StoredJob
from ossfs_resume.fetch.download import Download
from ossfs_resume.oss.models import ListPage, ObjectMeta


class Origin(Protocol):
    """What jobs need of the bucket."""

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage: ...

    async def head(self, key: str) -> ObjectMeta: ...


class Fetcher(Protocol):
    """What jobs need of the fetch engine."""

    async def open(self, meta: ObjectMeta) -> Download: ...

    async def fill(self, download: Download) -> None: ...

    def close(self, download: Download) -> None: ...


class JobStore(Protocol):
    """Where jobs are kept; its calls block."""

    def add_job(self, path_key: str) -> int: ...

    def jobs(self) -> list[StoredJob]: ...

    def remove_job(self, job_id: int) -> None: ...

    def remove_jobs(self, path: str) -> int: ...

    def pause_jobs(self, path: str, *, is_paused: bool) -> None: ...
