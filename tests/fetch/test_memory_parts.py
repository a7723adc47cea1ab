"""Bounded, but never at the cost of a part that somebody waits for."""

from ossfs_resume.fetch.memory_parts import MemoryParts


class Owner:
    """Compared by identity."""


def test_what_is_held_can_be_had_until_there_is_no_room() -> None:
    memory, owner = MemoryParts(limit_bytes=30), Owner()
    for part in range(3):
        memory.hold(owner, part, bytes([part]) * 10)
    assert memory.get(owner, 0) == b"\0" * 10  # Used of late, so part 1 is the oldest.
    memory.hold(owner, 3, b"d" * 10)
    assert memory.absent(owner, range(5)) == [range(1, 2), range(4, 5)]
    assert memory.size_bytes == 30


def test_owners_are_apart() -> None:
    memory, first, second = MemoryParts(), Owner(), Owner()
    memory.hold(first, 0, b"first")
    assert memory.get(second, 0) is None
    memory.hold(second, 0, b"second")
    memory.drop(first)
    assert not memory.has(first, 0)
    assert (memory.get(second, 0), memory.size_bytes, len(memory)) == (b"second", 6, 1)


def test_a_wanted_part_stays_however_many_there_are_and_goes_afterwards() -> None:
    memory, owner = MemoryParts(limit_bytes=10), Owner()
    with memory.wanted(owner, range(2)), memory.wanted(owner, range(1)):
        for part in range(4):
            memory.hold(owner, part, b"x" * 10)
        assert memory.absent(owner, range(4)) == [range(2, 4)]
    assert memory.size_bytes <= 10


def test_only_a_demanded_part_is_demanded() -> None:
    memory, owner = MemoryParts(), Owner()
    with memory.demanded(owner, range(3, 4)):
        assert memory.is_demanded(owner, 3)
        assert not memory.is_demanded(owner, 2)
    assert not memory.is_demanded(owner, 3)


def test_the_same_part_again_counts_once() -> None:
    memory, owner = MemoryParts(), Owner()
    memory.hold(owner, 0, b"old")
    memory.hold(owner, 0, b"newer")
    assert (memory.get(owner, 0), memory.size_bytes) == (b"newer", 5)
