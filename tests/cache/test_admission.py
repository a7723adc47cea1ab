"""Nobody is let in for whom there is no room, and nobody waits for ever."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.cache import admission
from ossfs_resume.cache.admission import Account, Admission
from ossfs_resume.errors import CacheError
from support.waiting import PATIENCE_S


@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.sampled_from(["admit", "end", "look", "remove"]), st.integers(0, 60))),
)
def test_the_account_is_never_below_the_truth_nor_the_truth_above_the_limit(
    limit: int, steps: list[tuple[str, int]]
) -> None:
    account, on_disk, writing = Account(limit), 0, []
    for step, size in steps:
        if step == "admit" and account.admit(size):
            writing.append(size)
        elif step == "end" and writing:
            on_disk += writing[0]
            account.done(writing.pop(0))
        elif step == "look":
            assert account.look(lambda: on_disk) == on_disk  # noqa: B023
        elif step == "remove":
            on_disk -= min(size, on_disk)
        assert on_disk + sum(writing) <= limit
        assert account.in_flight == sum(writing)
    for size in writing:
        account.done(size)
    account.look(lambda: on_disk + sum(writing))
    assert account.admit(limit - on_disk - sum(writing))


def test_what_is_written_while_somebody_counts_is_not_lost() -> None:
    account = Account(10)
    assert account.admit(4)

    def count() -> int:
        account.done(4)
        return 0  # before it could be seen

    account.look(count)
    assert not account.admit(7)
    assert account.admit(6)


def test_without_a_limit_everybody_is_let_in() -> None:
    assert Account(None).admit(1 << 60)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(admission, "_PAUSE_S", 0.001)


def test_a_writer_waits_until_there_is_room() -> None:
    account = Account(10)
    asked = threading.Event()

    def free(size: int, is_urgent: bool) -> bool:
        asked.set()
        return False

    door = Admission(account, lambda: 1 << 40, free)
    assert account.admit(8)

    def leave() -> None:
        assert asked.wait(PATIENCE_S)
        account.done(8)
        account.look(lambda: 0)

    other = threading.Thread(target=leave)
    other.start()
    with door.room(5):
        assert account.in_flight == 5
    other.join()
    assert account.in_flight == 0


@pytest.mark.usefixtures("impatient")
def test_who_loses_patience_makes_room_by_force_or_is_refused_and_the_next_at_once() -> None:
    account, urgent = Account(10), []

    def free(size: int, is_urgent: bool) -> bool:
        urgent.append(is_urgent)
        if is_urgent and len(urgent) > 100:
            raise AssertionError("asked for ever")
        return False

    door = Admission(account, lambda: 1 << 40, free)
    assert account.admit(10)
    with pytest.raises(CacheError, match="nothing can be removed"), door.room(1):
        pass
    assert urgent.count(True) == 1
    urgent.clear()
    with pytest.raises(CacheError, match="nothing can be removed"), door.room(1):
        pass
    assert urgent == [True]
    assert account.in_flight == 10


def test_what_can_never_fit_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_PATIENCE_S", 1e6)
    door = Admission(Account(10), lambda: 1 << 40, lambda size, urgent: False)
    with pytest.raises(CacheError, match="smaller than"), door.room(11):
        pass


def test_the_disks_headroom_is_left_alone() -> None:
    free_bytes = [100]

    def free(size: int, is_urgent: bool) -> bool:
        free_bytes[0] += 50
        return True

    door = Admission(Account(None), lambda: free_bytes[0], free)
    door.headroom = 90
    with door.room(30):
        assert free_bytes == [150]
