"""Small objects in a store, each with bytes that say which it is."""

from ossfs_resume.cache import CacheStore, Entry, ObjectVersion
from ossfs_resume.cache.crc64 import checksum

SIZE = 5000


def version(number: int, size: int = SIZE) -> ObjectVersion:
    return ObjectVersion(f"small-{number}", "etag", size)


def content(number: int, size: int = SIZE) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def write(store: CacheStore, number: int, size: int = SIZE) -> Entry:
    """A proven object, acquired once."""
    entry = store.acquire(version(number, size))
    entry.expect_crc64(checksum([content(number, size)]))
    entry.write_parts(0, [(content(number, size),)])
    assert entry.prove()
    return entry


def fill(store: CacheStore, count: int) -> None:
    for number in range(count):
        store.release(write(store, number))
    store.commit()


def rows(store: CacheStore) -> int:
    return len(store._blobs.ids(range(1, 1 << 20)))
