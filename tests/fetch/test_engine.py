"""A whole object is fetched behind its readers. Whether a version is still there is asked before
it is opened.
"""

import pytest
import trio
import trio.testing

from ossfs_resume.errors import CorruptObject, ObjectChanged, ServerFailed
from ossfs_resume.fetch.download import Transfer
from support.fetching import PART, SIZE, Running, read
from support.waiting import PATIENCE_S


async def test_fill_completes_and_proves_an_object_behind_its_readers(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await read(engine, download, 7 * PART, PART)
        await engine.fill(download)
        assert download.entry.progress.is_verified
        assert origin.fetched == SIZE
        assert origin.most_running <= 8


async def test_what_another_one_has_discarded_is_not_filled(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    origin.wrong_crc = True
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        outcomes: list[Exception] = []

        async def fill() -> None:
            try:
                await engine.fill(download)
            except CorruptObject as error:
                outcomes.append(error)

        transfers: set[Transfer] = set()
        async with trio.open_nursery() as nursery:
            await download.proof.acquire()
            nursery.start_soon(fill)
            while not download.entry.progress.is_complete:
                transfers |= set(download.claims.values())
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            for transfer in transfers:  # the filler sees that all is here, and waits for a proof
                transfer.wake()
            await trio.testing.wait_all_tasks_blocked()
            download.proof.release()
        assert len(outcomes) == 1
        assert not download.entry.progress.is_open


async def test_a_cancelled_fill_ends_its_transfers_and_keeps_what_arrived(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", 200 * PART)
    origin.allow = 3 * PART
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.fill, download)
            await origin.started.wait()
            while engine.statistics().bytes_received < 3 * PART:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        with trio.fail_after(PATIENCE_S):
            while engine.statistics().running:
                await trio.lowlevel.checkpoint()
        assert engine.statistics().queued == 0
        assert download.entry.progress.present_count >= 2
        assert download.claims == {}


async def test_confirm_tells_a_changed_object_and_costs_one_part(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    async with running(origin, store) as engine:
        download = await engine.open(meta)
        await engine.confirm(download)
        assert origin.fetched == PART
        origin.failures = [ObjectChanged("412")]
        with pytest.raises(ObjectChanged):
            await engine.confirm(download)


async def test_confirm_lets_pass_when_the_origin_does_not_answer(
    origin, store, running: Running
) -> None:
    meta = origin.put("a", SIZE)
    origin.failures = [ServerFailed("503")]
    async with running(origin, store) as engine:
        await engine.confirm(await engine.open(meta))
