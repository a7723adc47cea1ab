"""A reader waits for its own part, has a deadline, and is told at once what failed. Readers get
exact bytes, and each part is fetched once.
"""

import logging
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ossfs_resume.cache.data_file import DataFile
from ossfs_resume.cache.models import CacheSettings
from ossfs_resume.cache.store import CacheStore
from ossfs_resume.errors import AccessDenied, CacheError, NoProgress, ObjectChanged, ShuttingDown
from ossfs_resume.fetch.settings import FetchSettings
from support.fetching import PART, SIZE, Running, read, read_all
from support.waiting import PATIENCE_S


async def test_a_reader_is_answered_when_its_part_is_there_not_the_whole_request(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        origin.allow = 3 * PART
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.fill, download)
            await origin.started.wait()
            data = await read(engine, download, 0, 2 * PART)
            assert data == origin.content["a"][: 2 * PART]
            assert origin.running > 0
            origin.release()


async def test_a_stalled_reader_gives_up_when_its_time_without_progress_is_up(
    origin, store, running: Running, caplog
) -> None:
    meta = origin.put("a", SIZE)
    settings = FetchSettings(timeout_s=1)
    origin.allow = 0
    async with running(origin, store, settings) as engine:
        download = await engine.open(meta)
        before = trio.current_time()
        with trio.fail_after(PATIENCE_S), pytest.raises(NoProgress):
            await read(engine, download, 0, 10)
        assert trio.current_time() - before > 0.9
        # The kernel asks for a failed range again, page by page: the answer comes at once.
        with trio.fail_after(PATIENCE_S):
            for _ in range(100):
                with pytest.raises(NoProgress):
                    await read(engine, download, 0, 10)
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


async def test_progress_of_the_transfer_extends_a_readers_time(
    origin, store, running: Running, mock_clock: MockClock
) -> None:
    meta = origin.put("a", SIZE)
    settings = FetchSettings(timeout_s=5, request_bytes=8 * PART)

    async def trickle() -> None:
        for allowed in range(1000, PART + 16_000, 8_000):
            origin.allow = allowed
            origin.changed.set()
            origin.changed = trio.Event()
            await wait_all_tasks_blocked()
            mock_clock.jump(2)
        origin.release()

    origin.allow = 0
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(meta)
        nursery.start_soon(trickle)
        before = trio.current_time()
        data = await read(engine, download, 0, 10)
        assert data == origin.content["a"][:10]
        assert trio.current_time() - before > 5


async def test_a_refused_range_fails_its_readers_at_once_with_the_origins_error(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    origin.failures = [AccessDenied("no")]
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with pytest.raises(AccessDenied):
            await read(engine, download, 30 * PART, 10)
        with pytest.raises(AccessDenied):
            await read(engine, download, 30 * PART, 10)
        assert len(origin.ranges) == 1
        # Another range is another question.
        assert await read(engine, download, 10 * PART, 10)


async def test_a_changed_object_serves_what_is_cached_and_refuses_the_rest(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read(engine, download, 30 * PART, 10)
        origin.failures = [ObjectChanged("412")]
        with pytest.raises(ObjectChanged):
            await read(engine, download, 20 * PART, 10)
        with pytest.raises(ObjectChanged):
            await read(engine, download, 10 * PART, 10)
        assert len(origin.ranges) == 2
        assert await read(engine, download, 30 * PART, 10)


async def test_readers_are_let_go_when_the_mount_stops(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    origin.allow = 0
    refused = []

    async def reader() -> None:
        with pytest.raises(ShuttingDown):
            await read(engine, download, 0, 10)
        refused.append(True)

    async with running(origin, store) as engine:
        download = await engine.open(meta)
        with trio.fail_after(PATIENCE_S / 2):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(reader)
                await origin.started.wait()
                engine.stop()
        with pytest.raises(ShuttingDown):
            await engine.open(meta)
    assert len(refused) == 10


async def test_readers_of_a_discarded_entry_are_let_go_as_well_when_the_mount_stops(
    origin, store, running: Running
) -> None:
    meta, refused = origin.put("a", SIZE), trio.Event()

    async def reader() -> None:
        with pytest.raises(ShuttingDown):
            await read(engine, download, 30 * PART, 10)
        refused.set()

    settings = FetchSettings(timeout_s=0)
    async with running(origin, store, settings) as engine, trio.open_nursery() as nursery:
        download = await engine.open(meta)
        await trio.to_thread.run_sync(store.discard, download.entry)
        origin.allow = 0
        nursery.start_soon(reader)
        await origin.started.wait()
        assert await engine.open(meta) is not download
        engine.stop()
        with trio.fail_after(PATIENCE_S):
            await refused.wait()


async def test_a_sequential_read_is_exact_and_fetches_each_byte_once(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        assert await read_all(engine, download) == origin.content["a"]
        assert origin.fetched == SIZE
        assert download.entry.progress.is_verified
        engine.close(download)


async def test_a_random_read_costs_its_parts_only(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        data = await read(engine, download, 20 * PART - 10, 20)
        assert data == origin.content["a"][20 * PART - 10 : 20 * PART + 10]
        assert origin.ranges == [("a", 19 * PART, 21 * PART)]


async def test_what_is_cached_is_not_fetched_again(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read(engine, download, 3 * PART, PART)
        await read_all(engine, download)
        assert origin.fetched == SIZE
        await read_all(engine, download)
        assert origin.fetched == SIZE


async def test_many_readers_of_one_range_cause_one_request(origin, store, running: Running) -> None:
    meta = origin.put("a", SIZE)
    answers: list[bytes] = []

    async def reader() -> None:
        answers.append(bytes(await read(engine, download, 5 * PART, 1000)))

    async with running(origin, store) as engine:
        download = await engine.open(meta)
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(reader)
    assert answers == [origin.content["a"][5 * PART : 5 * PART + 1000]] * 200
    assert len(origin.ranges) == 1


async def test_parts_removed_beside_a_reader_are_fetched_again(
    origin, store: CacheStore, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        assert download.entry.remove_parts(SIZE, 2) > 0
        assert download.entry.missing(0, 20)
        assert await read_all(engine, download) == origin.content["a"]
        engine.close(download)


async def test_while_the_disk_is_in_trouble_what_it_has_is_compared_at_each_read(
    origin, store: CacheStore, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read_all(engine, download)
        before = origin.fetched
        engine._disk.writing.failed(CacheError("no room"), trio.current_time())

        def trust(offset: int, length: int) -> bytes:
            raise AssertionError("served unchecked")

        monkeypatch.setattr(download.entry, "read_nowait", trust)
        assert await read_all(engine, download) == origin.content["a"]
        assert origin.fetched == before
        engine.close(download)


class LyingFile(DataFile):
    """Gives zeros for everything."""

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)

    def read_nowait(self, offset: int, length: int) -> None:
        return None


async def test_what_is_damaged_each_time_is_read_from_memory(
    origin, tmp_path: Path, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    store = CacheStore.open(CacheSettings(tmp_path, "bucket", PART), data_file=LyingFile)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        for _ in range(2):
            data = await read(engine, download, 5 * PART, 2 * PART)
            assert data == origin.content["a"][5 * PART : 7 * PART]
        engine.close(download)
    store.close()
