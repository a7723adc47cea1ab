"""What a process knows about parts."""

from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.ledger import PartLedger
from ossfs_resume.cache.models import CRC_BYTES, PartRun, StoredPart, StoredParts

FIVE_PARTS = Geometry(5 * 16 - 3, 16)
STORED = StoredParts(
    written=b"\x0f",
    synced=b"\x03",
    crcs=b"".join(n.to_bytes(CRC_BYTES, "little") for n in range(5)),
)


def test_written_parts_are_present_trusted_and_to_be_committed_with_their_checksums() -> None:
    ledger = PartLedger(FIVE_PARTS)
    ledger.wrote(3, [7, 8])
    assert ledger.missing(0, 5) == [range(3)]
    assert ledger.trusts(3, 5)
    assert ledger.present_bytes == 16 + 13
    expected = (7).to_bytes(8, "little") + (8).to_bytes(8, "little")
    assert ledger.take_uncommitted() == [PartRun(3, expected)]
    assert ledger.take_uncommitted() == []


def test_stored_parts_are_present_but_unchecked() -> None:
    ledger = PartLedger(FIVE_PARTS, STORED)
    assert ledger.missing(0, 5) == [range(4, 5)]
    assert not ledger.trusts(0, 1)
    assert ledger.unchecked(1, 5) == [range(1, 4)]
    assert ledger.crc(2) == 2
    ledger.checked(2)
    assert ledger.trusts(2, 3)
    assert ledger.unchecked(0, 5) == [range(2), range(3, 4)]


def test_only_unchecked_parts_can_be_forgotten() -> None:
    ledger = PartLedger(FIVE_PARTS, STORED)
    ledger.checked(1)
    assert ledger.forget([0, 1, 4]) == [0]
    assert ledger.missing(0, 5) == [range(1), range(4, 5)]


def test_an_absent_part_is_never_trusted() -> None:
    ledger = PartLedger(FIVE_PARTS, STORED)
    ledger.forget([0])
    ledger.checked(0)
    assert not ledger.trusts(0, 1)


def test_a_failed_commit_is_taken_again_unless_the_parts_are_gone() -> None:
    ledger = PartLedger(FIVE_PARTS)
    ledger.wrote(0, [1, 2])
    runs = ledger.take_uncommitted()
    ledger.commit_failed(runs)
    assert ledger.take_uncommitted() == runs
    ledger.forget_all()
    ledger.commit_failed(runs)
    assert ledger.take_uncommitted() == []


def test_parts_that_an_earlier_process_left_unsynced_are_synced() -> None:
    ledger = PartLedger(FIVE_PARTS, STORED)
    assert ledger.unsynced_count == 2
    assert ledger.begin_sync()
    assert ledger.syncing() == [range(2, 4)]
    ledger.end_sync()
    assert not ledger.begin_sync()


def test_a_part_written_during_the_sync_is_not_covered_by_it() -> None:
    ledger = PartLedger(FIVE_PARTS)
    ledger.wrote(0, [1, 2, 3])
    ledger.begin_sync()
    ledger.wrote(1, [2])
    assert ledger.syncing() == [range(1), range(2, 3)]
    ledger.end_sync()
    assert ledger.unsynced_count == 1


def test_a_failed_sync_leaves_its_parts_unsynced() -> None:
    ledger = PartLedger(FIVE_PARTS)
    ledger.wrote(0, [1])
    ledger.begin_sync()
    ledger.sync_failed()
    assert ledger.syncing() == []
    assert ledger.unsynced_count == 1


def test_objects_of_one_part_are_not_synced_one_by_one() -> None:
    ledger = PartLedger(Geometry(10, 16))
    ledger.wrote(0, [1])
    assert not ledger.begin_sync()


def test_a_part_that_is_leaving_is_not_adopted_and_one_that_is_written_does_not_leave() -> None:
    ledger = PartLedger(FIVE_PARTS, STORED)
    ledger.was_read(0, 4 * 16)
    ledger.begin_writing(range(1, 2))
    assert ledger.take(3, frozenset({3}), ahead=True) == [0, 2]
    for part in range(3):
        ledger.adopt(StoredPart(part, part))
        ledger.checked(part)
    assert ledger.missing(0, 4) == [range(1), range(2, 3)]
    assert ledger.is_leaving(range(3))
    assert not ledger.trusts(2, 3)
    ledger.gone([0, 2])
    ledger.end_writing(range(1, 2))
    ledger.adopt(StoredPart(2, 2))
    assert ledger.missing(0, 4) == [range(1)]
    assert ledger.take(9, frozenset(), ahead=True) == [1, 2, 3]


def test_a_part_found_bad_is_adopted_again_only_after_it_was_written_here() -> None:
    ledger = PartLedger(FIVE_PARTS, STORED)
    assert ledger.forget([0]) == [0]
    ledger.gone([0])
    ledger.adopt(StoredPart(0, 0))
    assert ledger.missing(0, 1) == [range(1)]
    ledger.wrote(0, [0])
    ledger.take(1, frozenset(), ahead=True)
    ledger.gone([3])
    assert ledger.missing(0, 5) == [range(3, 5)]
