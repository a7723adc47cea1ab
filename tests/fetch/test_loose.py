"""Bounded, but never at the cost of a part that somebody waits for."""

from ossfs_resume.fetch.loose import LooseParts


class Owner:
    """Compared by identity."""


def test_what_is_held_can_be_had_until_there_is_no_room() -> None:
    loose, owner = LooseParts(limit_bytes=30), Owner()
    for part in range(3):
        loose.hold(owner, part, bytes([part]) * 10)
    assert loose.get(owner, 0) == b"\0" * 10  # Used of late, so part 1 is the oldest.
    loose.hold(owner, 3, b"d" * 10)
    assert loose.absent(owner, range(5)) == [range(1, 2), range(4, 5)]
    assert loose.size_bytes == 30


def test_owners_are_apart() -> None:
    loose, first, second = LooseParts(), Owner(), Owner()
    loose.hold(first, 0, b"first")
    assert loose.get(second, 0) is None
    loose.hold(second, 0, b"second")
    loose.drop(first)
    assert not loose.has(first, 0)
    assert (loose.get(second, 0), loose.size_bytes, len(loose)) == (b"second", 6, 1)


def test_a_wanted_part_stays_however_many_there_are_and_goes_afterwards() -> None:
    loose, owner = LooseParts(limit_bytes=10), Owner()
    with loose.wanted(owner, range(2)), loose.wanted(owner, range(1)):
        for part in range(4):
            loose.hold(owner, part, b"x" * 10)
        assert loose.absent(owner, range(4)) == [range(2, 4)]
    assert loose.size_bytes <= 10


def test_only_a_demanded_part_is_demanded() -> None:
    loose, owner = LooseParts(), Owner()
    with loose.demanded(owner, range(3, 4)):
        assert loose.is_demanded(owner, 3)
        assert not loose.is_demanded(owner, 2)
    assert not loose.is_demanded(owner, 3)


def test_the_same_part_again_counts_once() -> None:
    loose, owner = LooseParts(), Owner()
    loose.hold(owner, 0, b"old")
    loose.hold(owner, 0, b"newer")
    assert (loose.get(owner, 0), loose.size_bytes) == (b"newer", 5)
