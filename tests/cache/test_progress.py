"""What users of an entry and the committer tell each other."""

import threading
from collections.abc import Callable

import pytest

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import StoredPart
from ossfs_resume.cache.progress import Progress
from ossfs_resume.errors import CacheError

THREE_PARTS = Geometry(48, 16)


def test_nothing_is_marked_in_a_discarded_entry() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1], progress.epoch)
    assert progress.discard()
    assert not progress.discard()
    with pytest.raises(CacheError, match="discarded"):
        progress.wrote(1, [1], progress.epoch)
    assert progress.present_count == 0
    assert progress.take_changes().runs == []
    assert progress.is_settled


def test_a_superseded_entry_keeps_its_parts_and_has_nothing_to_persist() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1], progress.epoch)
    progress.supersede()
    assert progress.trusts(0, 1)
    assert progress.is_settled
    assert not progress.begin_sync()
    with pytest.raises(CacheError, match="superseded"):
        progress.wrote(1, [1], progress.epoch)


def test_a_discarded_entry_is_not_settled_while_a_sync_uses_its_file() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1], progress.epoch)
    assert progress.begin_sync()
    progress.discard()
    assert not progress.is_settled
    progress.leave_file()
    assert progress.is_settled


def test_an_entry_is_settled_after_commit_and_sync() -> None:
    progress = Progress(THREE_PARTS)
    assert progress.is_settled
    progress.wrote(0, [1], progress.epoch)
    progress.take_changes()
    assert not progress.is_settled
    progress.begin_sync()
    progress.leave_file()
    assert not progress.is_settled
    progress.sync_ended(is_committed=True)
    assert progress.is_settled


def test_checksums_are_given_of_complete_objects_only() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1, 2], progress.epoch)
    assert progress.crcs() is None
    progress.wrote(2, [3], progress.epoch)
    assert progress.crcs() == (1, 2, 3)


def test_an_incomplete_object_is_not_verified() -> None:
    progress = Progress(THREE_PARTS)
    progress.proved(is_good=True)
    assert not progress.is_verified


def stored(*numbers: int) -> list[StoredPart]:
    return [StoredPart(number, number) for number in numbers]


def read_progress() -> Progress:
    """Three parts, all of them read."""
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [0, 1, 2], progress.epoch)
    for part in range(3):
        progress.was_read(16 * part, 16)
    return progress


@pytest.mark.parametrize("asked", ["before", "meanwhile"])
def test_rows_that_were_read_before_a_removal_was_over_are_old_news(asked: str) -> None:
    progress = read_progress()
    removals = progress.removals
    taken = progress.take(1, 1, ahead=False)
    if asked == "meanwhile":
        removals = progress.removals
        progress.adopt(stored(*taken), None, removals)
        assert progress.missing(0, 3) == [range(1)]
    progress.gone(taken)
    progress.adopt(stored(*taken), None, removals)
    assert progress.missing(0, 3) == [range(1)]
    progress.adopt(stored(*taken), None, progress.removals)
    assert progress.missing(0, 3) == []
    assert progress.unchecked(0, 3) == [range(1)]


@pytest.mark.parametrize(
    "happens",
    [
        lambda progress: progress.doubt(),
        lambda progress: progress.gone(progress.take(1, 1, ahead=True)),
        lambda progress: progress.gone(progress.lose([0])),
    ],
)
def test_bytes_that_were_read_before_it_prove_nothing(
    happens: Callable[[Progress], object],
) -> None:
    progress = read_progress()
    progress.doubt()
    epoch, trusted = progress.epoch, b"\7"
    happens(progress)
    progress.checked(2, epoch)
    progress.trust(trusted, epoch)
    assert not progress.trusts(2, 3)
    progress.checked(2, progress.epoch)
    assert progress.trusts(2, 3)


def test_an_epoch_of_doubt_ends_with_what_happened_beside_it() -> None:
    progress = read_progress()
    assert progress.doubt(progress.epoch) == progress.epoch
    before = progress.epoch
    progress.gone(progress.lose([0]))
    assert progress.doubt(before) != progress.epoch


def test_what_is_being_written_does_not_leave_and_what_leaves_is_not_written() -> None:
    progress = read_progress()
    progress.begin_writing(range(1))
    assert progress.take(3, 1, ahead=True) == [1]
    assert progress.lose([0]) == []
    progress.end_writing(range(1))
    began, wrote = threading.Event(), threading.Event()

    def write() -> None:
        began.set()
        progress.wrote(1, [1], progress.begin_writing(range(1, 3)))
        wrote.set()
        progress.end_writing(range(1, 3))

    writer = threading.Thread(target=write)
    writer.start()
    began.wait()
    assert progress.missing(0, 3) == [range(1, 2)]
    assert not wrote.is_set()
    progress.gone([1])
    writer.join()
    assert progress.missing(0, 3) == []
