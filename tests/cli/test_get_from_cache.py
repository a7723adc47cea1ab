"""``ossfs-resume get --cache-dir``: what a mount has cached is copied, compared and not fetched."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
from ossfs_resume.cache.crc64 import checksum
from support.emulator import EmulatorProcess
from support.get import MIB, fetch, get
from support.mount import Mount
from support.resume import fetched, make_object

SIZE = 16 * MIB
PART = 256 * 1024


@contextmanager
def cached(
    emulator: EmulatorProcess, cache: Path, name: str, data: bytes, parts: range, crc64: int
) -> Iterator[None]:
    """A store as a mount leaves it, and keeps it open."""
    head = emulator.request("HEAD", emulator.target(name)).headers
    version = ObjectVersion(name, head["etag"].strip('"'), len(data))
    identity = f"127.0.0.1+{emulator.port}+{emulator.bucket}"
    store = CacheStore.open(CacheSettings(cache, identity))
    try:
        entry = store.acquire(version)
        entry.expect_crc64(crc64)
        for part in parts:
            entry.write_parts(part, [[data[part * PART : (part + 1) * PART]]])
        entry.prove()
        store.commit()
        store.release(entry)
        yield
    finally:
        store.close()


@pytest.mark.parametrize("part_size", ["256KiB", "1MiB"])
@pytest.mark.parametrize("is_open", [False, True])
def test_parts_of_a_large_object(
    emulator: EmulatorProcess, tmp_path: Path, is_open: bool, part_size: str
) -> None:
    data = make_object(emulator, SIZE)
    cache, target = tmp_path / "cache", tmp_path / "target"
    arguments = ("oss://sample/object", target, "--cache-dir", cache, "--part-size", part_size)
    with cached(emulator, cache, "object", data, range(8, 40), checksum([data])):
        if is_open:
            fetch(emulator, *arguments)
    if not is_open:
        fetch(emulator, *arguments)
    assert target.read_bytes() == data
    assert fetched(emulator) == SIZE - 32 * PART


@pytest.mark.parametrize("size", [1000, 2 * MIB, SIZE])
def test_a_complete_object_is_not_fetched(
    emulator: EmulatorProcess, tmp_path: Path, size: int
) -> None:
    data = make_object(emulator, size)
    parts = range(-(-size // PART))
    with cached(emulator, tmp_path / "cache", "object", data, parts, checksum([data])):
        pass
    for arguments in (["oss://sample/object", tmp_path / "1"], ["-r", "oss://sample/", tmp_path]):
        told = fetch(emulator, *arguments, "--cache-dir", tmp_path / "cache")
        objects: Any = told["objects"]
        assert told["resumed_bytes"] == sum(one["resumed_bytes"] for one in objects) == size
    assert (tmp_path / "1").read_bytes() == (tmp_path / "object").read_bytes() == data
    assert fetched(emulator) == 0


@pytest.mark.parametrize("size", [2 * MIB, SIZE])
def test_damaged_bytes_are_fetched(emulator: EmulatorProcess, tmp_path: Path, size: int) -> None:
    data = make_object(emulator, size)
    parts = range(size // PART)
    with cached(emulator, tmp_path / "cache", "object", data, parts, checksum([data])):
        pass
    (file,) = (tmp_path / "cache").glob("*/data/*/*")
    with file.open("r+b") as damaged:
        damaged.seek(PART + 5)
        damaged.write(b"damaged")
    fetch(emulator, "oss://sample/object", tmp_path / "target", "--cache-dir", tmp_path / "cache")
    assert (tmp_path / "target").read_bytes() == data
    assert fetched(emulator) == (PART if size == SIZE else size)


def test_a_cache_that_cannot_be_used_is_no_failure(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    data = make_object(emulator, SIZE)
    with cached(emulator, tmp_path / "cache", "object", data, range(3), checksum([data])):
        pass
    (catalog,) = (tmp_path / "cache").glob("*/catalog.sqlite3")
    catalog.write_bytes(b"garbage" * 1000)
    for cache in (tmp_path / "cache", tmp_path / "none"):
        target = tmp_path / f"for {cache.name}"
        result = get(emulator, "oss://sample/object", target, "--cache-dir", cache)
        assert result.returncode == 0, result.stderr
        assert ("nothing of the cache is used" in result.stderr) == (cache.name == "cache")
        assert target.read_bytes() == data


@pytest.mark.fuse
def test_beside_a_mount_that_goes_on(emulator: EmulatorProcess, tmp_path: Path) -> None:
    data = make_object(emulator, SIZE)
    other = make_object(emulator, SIZE, "other")
    mount = Mount(emulator, tmp_path).start()
    try:
        assert (mount.point / "object").read_bytes() == data
        fetch(emulator, "oss://sample/object", tmp_path / "copy", "--cache-dir", mount.cache)
        assert (tmp_path / "copy").read_bytes() == data
        assert fetched(emulator) == SIZE
        assert (mount.point / "other").read_bytes() == other
        assert os.path.getsize(mount.point / "object") == SIZE
    finally:
        mount.stop()
