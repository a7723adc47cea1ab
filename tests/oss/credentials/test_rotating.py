"""A key is replaced in time, by one fetch at a time, and nobody waits while the old one is good."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ossfs_resume import errors
from ossfs_resume.oss.credentials.provider import RotatingCredentials
from ossfs_resume.oss.credentials.sts import Issued
from ossfs_resume.oss.models import Credentials


class Source:
    """Issues ``k1``, ``k2``, ...; fails or waits when told to."""

    def __init__(self, lifetime_s: float | None = 3600.0) -> None:
        self.lifetime_s = lifetime_s
        self.count = 0
        self.error: Exception | None = None
        self.gate = trio.Event()
        self.gate.set()

    async def fetch(self) -> Issued:
        self.count += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Issued(Credentials(f"k{self.count}", "s", "t"), self.lifetime_s)


async def name(provider: RotatingCredentials) -> str:
    return (await provider.current()).access_key_id


async def test_a_key_without_end_is_fetched_once(mock_clock: MockClock) -> None:
    source = Source(None)
    provider = RotatingCredentials(source.fetch, "here")
    for _ in range(3):
        assert await name(provider) == "k1"
        mock_clock.jump(1e6)
    assert source.count == 1


async def test_many_at_once_cause_one_fetch(nursery: trio.Nursery) -> None:
    source = Source()
    source.gate = trio.Event()
    provider = RotatingCredentials(source.fetch, "here")
    names: list[str] = []

    async def ask() -> None:
        names.append(await name(provider))

    for _ in range(50):
        nursery.start_soon(ask)
    await wait_all_tasks_blocked()
    source.gate.set()
    await wait_all_tasks_blocked()
    assert names == ["k1"] * 50
    assert source.count == 1


@pytest.mark.parametrize(("lifetime_s", "fresh_s"), [(3600.0, 2700.0), (21600.0, 20700.0), (4, 3)])
async def test_it_is_replaced_ahead_of_its_end(
    mock_clock: MockClock, lifetime_s: float, fresh_s: float
) -> None:
    """In its last quarter, at most 15 minutes; whoever asks then goes on with the old key."""
    source = Source(lifetime_s)
    provider = RotatingCredentials(source.fetch, "here")
    await provider.current()
    mock_clock.jump(fresh_s * 0.99)
    assert await name(provider) == "k1"
    assert source.count == 1
    mock_clock.jump(fresh_s * 0.02)
    source.gate = trio.Event()
    assert await name(provider) == "k1"
    await wait_all_tasks_blocked()
    assert source.count == 2
    source.gate.set()
    await wait_all_tasks_blocked()
    assert await name(provider) == "k2"


async def test_the_old_key_serves_while_fetching_fails(mock_clock: MockClock) -> None:
    source = Source(1000.0)
    provider = RotatingCredentials(source.fetch, "here")
    await provider.current()
    source.error = errors.Unreachable("no network")
    mock_clock.jump(800)
    for _ in range(10):
        assert await name(provider) == "k1"
        await wait_all_tasks_blocked()
    assert source.count == 2  # a pause between attempts, not one for each request
    mock_clock.jump(31)
    await provider.current()
    await wait_all_tasks_blocked()
    assert source.count == 3
    source.error = None
    mock_clock.jump(31)
    await provider.current()
    await wait_all_tasks_blocked()
    assert await name(provider) == "k4"


async def test_an_expired_key_is_not_used(mock_clock: MockClock) -> None:
    source = Source(1000.0)
    provider = RotatingCredentials(source.fetch, "here")
    await provider.current()
    source.error = errors.Unreachable("no network")
    mock_clock.jump(1001)
    for _ in range(3):
        with pytest.raises(errors.Unreachable, match="no network"):
            await provider.current()
    assert source.count == 2
    source.error = None
    mock_clock.jump(2)
    assert await name(provider) == "k3"


async def test_a_refused_key_is_replaced_at_once_but_not_for_ever(mock_clock: MockClock) -> None:
    source = Source()
    provider = RotatingCredentials(source.fetch, "here")
    first = await provider.current()
    assert provider.refused(first)
    assert provider.refused(first)  # many requests are refused at the same time
    second = await provider.current()
    assert second.access_key_id == "k2"
    assert provider.refused(first)  # somebody late: there is another already
    assert not provider.refused(second)
    assert source.count == 2
    mock_clock.jump(6)
    assert provider.refused(second)


async def test_whoever_gives_up_does_not_take_the_fetch_along(nursery: trio.Nursery) -> None:
    source = Source()
    source.gate = trio.Event()
    provider = RotatingCredentials(source.fetch, "here")
    with trio.move_on_after(0.01):
        await provider.current()
    source.gate.set()
    assert await name(provider) == "k1"
    assert source.count == 1


async def test_an_unexpected_error_is_an_answer_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source()
    source.error = ZeroDivisionError()
    provider = RotatingCredentials(source.fetch, "here")
    with pytest.raises(errors.BadAnswer, match="here: ZeroDivisionError"):
        await provider.current()
    assert "unexpectedly" in caplog.text


async def test_a_key_that_came_expired_by_a_doubtful_clock_is_tried() -> None:
    source = Source(-50.0)
    provider = RotatingCredentials(source.fetch, "here")
    assert await name(provider) == "k1"
