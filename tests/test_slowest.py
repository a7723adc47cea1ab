"""What takes longest is begun first."""

from dataclasses import dataclass
from pathlib import Path

from support.slowest import SLOWEST, TESTS, slowest_first


@dataclass
class Item:
    """What is asked of a test."""

    path: Path
    name: str = ""


def test_the_slowest_files_exist() -> None:
    assert [name for name in SLOWEST if not (TESTS / name).exists()] == []


def test_they_come_first_and_all_else_keeps_its_order() -> None:
    quick = [Item(TESTS / "oss/test_sign.py", "a"), Item(TESTS / "cache/test_bitmap.py", "b")]
    slow = [Item(TESTS / SLOWEST[1], "c"), Item(TESTS / SLOWEST[0], "d")]
    ordered = slowest_first([quick[0], slow[0], quick[1], slow[1]])  # type: ignore[type-var]
    assert [item.name for item in ordered] == ["d", "c", "a", "b"]
