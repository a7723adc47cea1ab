"""``ossfs-resume cache`` as a user runs it."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion
from ossfs_resume.cli import commands

PART = 65536


def put(directory: Path, identity: str, *keys: str) -> None:
    """A store with some objects of two parts."""
    store = CacheStore.open(CacheSettings(directory, identity, PART))
    for key in keys:
        entry = store.acquire(ObjectVersion(key, "etag", 2 * PART))
        entry.write_parts(0, [[os.urandom(PART)], [os.urandom(PART)]])
        store.release(entry)
    store.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    put(tmp_path / "c", "aliyuncs+one", "d/a", "d/b", "e\nf")
    put(tmp_path / "c", "aliyuncs+two", "x")
    return tmp_path / "c"


def run(directory: Path, *arguments: str) -> Result:
    command = ["cache", *arguments, "--cache-dir", str(directory)]
    return CliRunner().invoke(commands, command, standalone_mode=False)


def document(directory: Path, *arguments: str) -> Any:
    return json.loads(run(directory, *arguments, "--json").output)


def test_list_has_one_line_for_each_object(directory: Path) -> None:
    lines = run(directory, "list").output.splitlines()
    assert [line.split("\t")[-1] for line in lines] == [
        "aliyuncs+one/d/a",
        "aliyuncs+one/d/b",
        "aliyuncs+one/e\\nf",
        "aliyuncs+two/x",
    ]
    assert [one["key"] for one in document(directory, "list", "oss://one/d")] == ["d/a", "d/b"]
    assert document(directory, "list", "oss://two/x")[0]["bytes_present"] == 2 * PART


def test_stat_adds_up(directory: Path) -> None:
    one, two = document(directory, "stat")
    assert (one["objects"], one["allocated_bytes"], one["mounts"]) == (3, 6 * PART, 0)
    assert two["identity"] == "aliyuncs+two"
    assert len(run(directory, "stat", "oss://two").output.splitlines()) == 1


def test_check_says_what_is_wrong_and_its_status_says_that_something_is(directory: Path) -> None:
    assert run(directory, "check").return_value == 0
    path = next(directory.glob("aliyuncs+two/data/*/*"))
    path.write_bytes(b"z" * 2 * PART)
    result = run(directory, "check")
    assert result.return_value == 1
    assert "aliyuncs+two: part: x: 2 parts (0, 1): wrong CRC-64" in result.output
    assert run(directory, "check", "oss://one").return_value == 0
    repaired = run(directory, "check", "--repair")
    assert repaired.return_value == 0
    assert "(repaired)" in repaired.output
    assert document(directory, "check")["aliyuncs+two"]["problems"] == []


def not_a_database(catalog: Path) -> None:
    catalog.write_bytes(b"garbage" * 1000)


def empty(catalog: Path) -> None:
    catalog.write_bytes(b"")


def damaged_inside(catalog: Path) -> None:
    with catalog.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xee" * (catalog.stat().st_size - 4096))


@pytest.mark.parametrize("damage", [not_a_database, damaged_inside, empty])
def test_a_damaged_catalogue_is_a_problem_like_others(
    directory: Path, damage: Callable[[Path], None]
) -> None:
    damage(directory / "aliyuncs+two" / "catalog.sqlite3")
    result = run(directory, "check")
    assert result.return_value == 1
    assert "aliyuncs+one: 3 objects" in result.output
    assert "aliyuncs+two: catalogue: " in result.output
    assert run(directory, "check", "--repair").return_value == 0
    assert list(directory.glob("aliyuncs+two/damaged-*/data/*/*"))
    assert list(document(directory, "check")) == ["aliyuncs+one"]


@pytest.mark.parametrize("damage", [not_a_database, damaged_inside, empty])
def test_a_damaged_cache_can_be_cleared(directory: Path, damage: Callable[[Path], None]) -> None:
    damage(directory / "aliyuncs+two" / "catalog.sqlite3")
    assert run(directory, "clear").return_value == 0
    assert not list(directory.glob("aliyuncs+*/data/*/*"))


def test_evict_takes_a_key_or_a_directory(directory: Path) -> None:
    assert document(directory, "evict", "oss://one/d/a") == {"aliyuncs+one": 1}
    assert document(directory, "evict", "oss://one/d") == {"aliyuncs+one": 1}
    assert [one["key"] for one in document(directory, "list", "oss://one")] == ["e\nf"]
    assert len(list(directory.glob("aliyuncs+one/data/*/*"))) == 1


@pytest.mark.parametrize("command", [["evict", "oss://one"], ["clear", "oss://one"]])
def test_what_stays_is_told(directory: Path, command: list[str]) -> None:
    store = CacheStore.open(CacheSettings(directory, "aliyuncs+one", PART))
    entry = store.acquire(ObjectVersion("d/a", "etag", 2 * PART))
    entry.check(0, 1)
    result = run(directory, *command)
    assert result.return_value == 0
    assert "aliyuncs+one: 1 object stays: it is pinned, or in use by a mount" in result.stderr
    assert result.stdout.startswith("aliyuncs+one: 2 objects ")
    store.release(entry)
    store.close()


def test_clear_leaves_other_buckets_alone(directory: Path) -> None:
    assert document(directory, "clear", "oss://one") == {"aliyuncs+one": 3}
    assert [one["key"] for one in document(directory, "list")] == ["x"]
    assert run(directory, "clear").output == "aliyuncs+two: 1 objects removed\n"
    assert run(directory, "list").output == ""


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["evict"], 2, "say what to evict"),
        (["list", "oss://three"], 1, "has nothing of the bucket three"),
        (["list", "http://one"], 2, "is not a bucket"),
    ],
)
def test_bad_arguments_get_one_line(
    directory: Path, arguments: list[str], status: int, text: str
) -> None:
    import subprocess

    command = [sys.executable, "-m", "ossfs_resume", "cache", *arguments]
    result = subprocess.run(
        [*command, "--cache-dir", str(directory)], capture_output=True, text=True, check=False
    )
    assert result.returncode == status
    assert text in result.stderr
    assert "Traceback" not in result.stderr
