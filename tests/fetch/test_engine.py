"""Whether a version is still there is asked before it is opened."""

import pytest

from ossfs_resume.errors import ObjectChanged, ServerFailed
from support.fetching import PART, SIZE, Running


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
