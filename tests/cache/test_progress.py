"""What users of an entry and the committer tell each other."""

import pytest

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.progress import Progress
from ossfs_resume.errors import CacheError

THREE_PARTS = Geometry(48, 16)


def test_nothing_is_marked_in_a_discarded_entry() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1])
    assert progress.discard()
    assert not progress.discard()
    with pytest.raises(CacheError, match="discarded"):
        progress.wrote(1, [1])
    assert progress.present_count == 0
    assert progress.take_changes().runs == []
    assert progress.is_settled


def test_a_superseded_entry_keeps_its_parts_and_has_nothing_to_persist() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1])
    progress.supersede()
    assert progress.trusts(0, 1)
    assert progress.is_settled
    assert not progress.begin_sync()
    with pytest.raises(CacheError, match="superseded"):
        progress.wrote(1, [1])


def test_a_discarded_entry_is_not_settled_while_a_sync_uses_its_file() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1])
    assert progress.begin_sync()
    progress.discard()
    assert not progress.is_settled
    progress.leave_file()
    assert progress.is_settled


def test_an_entry_is_settled_after_commit_and_sync() -> None:
    progress = Progress(THREE_PARTS)
    assert progress.is_settled
    progress.wrote(0, [1])
    progress.take_changes()
    assert not progress.is_settled
    progress.begin_sync()
    progress.leave_file()
    assert not progress.is_settled
    progress.sync_ended(is_committed=True)
    assert progress.is_settled


def test_checksums_are_given_of_complete_objects_only() -> None:
    progress = Progress(THREE_PARTS)
    progress.wrote(0, [1, 2])
    assert progress.crcs() is None
    progress.wrote(2, [3])
    assert progress.crcs() == (1, 2, 3)


def test_an_incomplete_object_is_not_verified() -> None:
    progress = Progress(THREE_PARTS)
    progress.proved(is_good=True)
    assert not progress.is_verified
