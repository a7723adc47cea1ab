"""The rules of what a power cut may leave, tried on the smallest cases."""

import random

from support.powercut.disk import (
    DIRECTORY,
    Disk,
    Fate,
    Image,
    Link,
    Operation,
    SyncDirectory,
    SyncFile,
    Truncate,
    Write,
)

NAMED: list[Operation] = [Link("file", 0), SyncDirectory(".", 1)]


def outcomes(*operations: Operation) -> list[Image]:
    disk, chance = Disk(operations), random.Random(1)
    return [disk.image(fate, chance) for fate in Fate for _ in range(200)]


def contents(*operations: Operation) -> set[bytes | None]:
    return {image["file"] for image in outcomes(*NAMED, *operations)}


def test_a_name_is_safe_once_its_directory_was_synced() -> None:
    assert {"file" in image for image in outcomes(Link("file", 0))} == {True, False}
    assert {"file" in image for image in outcomes(*NAMED)} == {True}
    assert {"file" in image for image in outcomes(*NAMED, Link("file", None))} == {True, False}


def test_what_lies_in_a_lost_directory_is_lost() -> None:
    found = outcomes(Link("d", DIRECTORY), Link("d/file", 0), SyncDirectory("d", 2))
    assert {} in found
    assert {"d": None, "d/file": b""} in found
    assert all("d" in image for image in found if "d/file" in image)


def test_a_write_is_safe_once_a_sync_began_after_it() -> None:
    assert contents(Write(0, 0, b"x"), SyncFile(0, 3)) == {b"x"}
    assert contents(Write(0, 0, b"x"), SyncFile(0, 2)) > {b"x", b""}


def test_sectors_are_lost_one_by_one_and_in_any_order() -> None:
    old, new = b"a" * 1024, b"b" * 1024
    found = contents(Write(0, 0, old), SyncFile(0, 3), Write(0, 0, new))
    half = 512
    assert found == {old, new, old[:half] + new[:half], new[:half] + old[:half]}


def test_the_older_of_two_writes_may_be_the_one_that_stays() -> None:
    base = [Write(0, 0, b"a" * 8), SyncFile(0, 3)]
    found = contents(*base, Write(0, 0, b"b" * 8), Write(0, 0, b"c" * 8))
    assert found == {b"a" * 8, b"b" * 8, b"c" * 8}


def test_a_truncation_may_be_lost() -> None:
    base = [Write(0, 0, b"abcd"), SyncFile(0, 3)]
    assert contents(*base, Truncate(0, 2)) == {b"abcd", b"ab"}


def test_a_file_may_have_grown_without_its_bytes() -> None:
    found = contents(Write(0, 0, b"abcd"))
    assert {b"", b"abcd", bytes(4), b"\xa5" * 4} <= found
