"""Short work is waited for, long work is not, and no failure is lost."""

import logging

import pytest
import trio
from trio.testing import MockClock

from ossfs_resume.control.errands import Errands
from ossfs_resume.errors import NoSpace


async def test_short_work_ends_before_the_verb_does(nursery: trio.Nursery) -> None:
    done = []

    async def work() -> None:
        await trio.lowlevel.checkpoint()
        done.append(1)

    await Errands(nursery).run("x", work)
    assert done == [1]


async def test_what_short_work_raises_is_the_verbs_error(nursery: trio.Nursery) -> None:
    async def work() -> None:
        raise NoSpace("too much")

    with pytest.raises(NoSpace, match="too much"):
        await Errands(nursery).run("x", work)


async def test_long_work_goes_on_and_its_error_is_logged(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        await trio.sleep(60)
        raise NoSpace("too much")

    began = trio.current_time()
    with caplog.at_level(logging.WARNING):
        await Errands(nursery).run("pin dir/", work)
        assert trio.current_time() - began < 10
        await trio.sleep(100)
    assert "pin dir/: too much" in caplog.text
