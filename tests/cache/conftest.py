"""A store that persists nothing by itself, and bytes that say where they belong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, Entry, Geometry, ObjectVersion
from ossfs_resume.cache.crc64 import checksum

NEVER_S = 1e6


class Parts:
    """Objects of 64 KiB parts, each filled with its own number."""

    SIZE = 64 * 1024

    def version(self, parts: int, *, less: int = 0, key: str = "key") -> ObjectVersion:
        return ObjectVersion(key, "etag", parts * self.SIZE - less)

    def quiet(self, directory: Path) -> CacheSettings:
        """Settings with which nothing is committed or synced before it is asked for."""
        return CacheSettings(
            directory,
            "bucket",
            part_size=self.SIZE,
            commit_interval_s=NEVER_S,
            commit_bytes=1 << 60,
            sync_interval_s=NEVER_S,
            sync_bytes=1 << 60,
        )

    def content(self, geometry: Geometry, part: int) -> bytes:
        start, stop = geometry.span(part)
        return ((part + 1).to_bytes(4, "big") * (geometry.part_size // 4))[: stop - start]

    def whole(self, geometry: Geometry) -> bytes:
        return b"".join(self.content(geometry, part) for part in range(geometry.part_count))

    def crc64(self, geometry: Geometry) -> int:
        return checksum([self.whole(geometry)])

    def write(self, entry: Entry, first: int, stop: int) -> None:
        """Write the parts [first, stop), each in two chunks."""
        parts = [self.content(entry.geometry, part) for part in range(first, stop)]
        entry.write_parts(first, [(data[:1000], data[1000:]) for data in parts])

    def close(self, store: CacheStore, entry: Entry) -> None:
        """Give the entry up, with nothing left to do that would keep its files open."""
        store.release(entry)
        store.sync()
        store.commit()
        assert store.statistics().open_entries == 0

    def data_file(self, directory: Path) -> Path:
        """The only data file of the store in ``directory``."""
        (path,) = directory.glob("bucket/data/*/*")
        return path

    def damage(self, path: Path, offset: int) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def settings(tmp_path: Path, parts: Parts) -> CacheSettings:
    return parts.quiet(tmp_path / "cache")


@pytest.fixture
def store(settings: CacheSettings) -> Iterator[CacheStore]:
    store = CacheStore.open(settings)
    yield store
    store.close()
