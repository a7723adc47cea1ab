"""``ossfs-resume cache`` as a user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion, workbench
from ossfs_resume.cli import commands
from ossfs_resume.errors import CacheError

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


def run_through(directory: Path, *arguments: str) -> None:
    """Raises what ends the command."""
    command = ["cache", *arguments, "--cache-dir", str(directory)]
    CliRunner().invoke(commands, command, standalone_mode=False, catch_exceptions=False)


def document(directory: Path, *arguments: str) -> Any:
    return json.loads(run(directory, *arguments, "--json").stdout)


def test_list_prints_addresses_that_it_takes_back(directory: Path) -> None:
    head, *rows, sums = run(directory, "list").output.splitlines()
    assert head.split()[-1] == "ADDRESS"
    addresses = [row.rpartition("  ")[2] for row in rows]
    assert addresses == ["oss://one/d/a", "oss://one/d/b", r"$'oss://one/e\x0af'", "oss://two/x"]
    assert sums == "4 objects, 512 KiB of 512 KiB cached"
    for address in addresses:
        [pasted] = subprocess.run(
            ["bash", "-c", f"printf %s {address}"], capture_output=True, text=True, check=True
        ).stdout.split("\0")
        assert len(document(directory, "list", pasted)["objects"]) == 1


def keys(directory: Path, *arguments: str) -> list[str]:
    return [one["key"] for one in document(directory, "list", *arguments)["objects"]]


def test_list_takes_a_path(directory: Path) -> None:
    assert keys(directory, "oss://one/d") == ["d/a", "d/b"]
    assert document(directory, "list", "oss://two/x")["objects"][0]["bytes_present"] == 2 * PART


def test_times_have_their_zone(directory: Path) -> None:
    time = datetime.fromisoformat(document(directory, "list")["objects"][0]["last_used"])
    assert abs((datetime.now(UTC) - time).total_seconds()) < 3600


def test_list_filters_and_sorts(directory: Path) -> None:
    store = CacheStore.open(CacheSettings(directory, "aliyuncs+one", PART))
    entry = store.acquire(ObjectVersion("big", "etag", 5 * PART))
    entry.write_parts(0, [[bytes(PART)]] * 3)
    store.release(entry)
    store.commit()
    store.keeper.pin([("d/b", 2 * PART)])
    store.close()
    assert keys(directory, "--partial") == ["big"]
    assert keys(directory, "--pinned") == ["d/b"]
    assert keys(directory, "--sort", "size")[0] == "big"
    assert keys(directory, "oss://one", "--sort", "used")[0] == "big"
    assert run(directory, "list", "--partial").output.splitlines()[-1] == (
        "1 object, 192 KiB of 320 KiB cached"
    )


def test_buckets_of_one_name_are_told_apart(directory: Path) -> None:
    put(directory, "127.0.0.1+9000+one", "d/a")
    put(directory, "%3A%3A1+9000+one", "d/a")
    addresses = [one["address"] for one in document(directory, "list")["objects"]]
    assert "oss://one@[::1]:9000/d/a" in addresses
    assert "oss://one@127.0.0.1:9000/d/a" in addresses
    assert "oss://one@aliyuncs/d/a" in addresses
    assert "oss://two/x" in addresses
    result = run(directory, "evict", "oss://one@127.0.0.1:9000/d/a")
    assert result.output == "oss://one@127.0.0.1:9000: 1 object removed\n"
    assert len(keys(directory, "oss://one/d/a")) == 2
    evicted = run(directory, "evict", "oss://one@[::1]:9000/d/a")
    assert evicted.return_value == 0


def test_stat_adds_up(directory: Path) -> None:
    one, two = document(directory, "stat")["buckets"]
    assert (one["objects"], one["allocated_bytes"], one["mounts"]) == (3, 6 * PART, 0)
    assert (two["identity"], two["bucket"]) == ("aliyuncs+two", "oss://two")
    assert len(run(directory, "stat", "oss://two").output.splitlines()) == 2
    head, *_, total = run(directory, "stat").output.splitlines()
    assert head.split()[-1] == "BUCKET"
    assert total.split() == ["512", "KiB", "4", "4", "0", "B", "0", "0", "all"]


def test_stat_of_a_path_is_about_what_is_below_it(directory: Path) -> None:
    [found] = document(directory, "stat", "oss://one/d")["buckets"]
    assert (found["objects"], found["allocated_bytes"]) == (2, 4 * PART)
    assert found["bucket"] == "oss://one/d"


def test_jobs_are_shown(directory: Path) -> None:
    opened = workbench.opened(directory, "aliyuncs+one")
    with opened as bench, bench.catalog.transaction() as transaction:
        for path in ("d/", "elsewhere"):
            transaction.add_job(path)
    assert run(directory, "list").output.splitlines()[-2:] == [
        "to be fetched: oss://one/d/",
        "to be fetched: oss://one/elsewhere",
    ]
    assert document(directory, "list", "oss://one/d")["jobs"] == ["oss://one/d/"]
    assert document(directory, "stat")["buckets"][0]["jobs"] == 2


def test_check_says_what_is_wrong_and_its_status_says_that_something_is(directory: Path) -> None:
    assert run(directory, "check").return_value == 0
    path = next(directory.glob("aliyuncs+two/data/*/*"))
    path.write_bytes(b"z" * 2 * PART)
    result = run(directory, "check")
    assert result.return_value == 1
    assert result.output.splitlines()[1:] == [
        "oss://two/x: 2 parts (0, 1) are damaged: wrong CRC-64",
        "oss://two: 1 object, 2 parts, 128 KiB compared; 1 problem",
        "1 object damaged; run again with --repair to fetch it anew",
    ]
    assert run(directory, "check", "oss://one").return_value == 0
    repaired = run(directory, "check", "--repair")
    assert repaired.return_value == 0
    assert "(repaired)" in repaired.output
    assert document(directory, "check", "oss://two")["buckets"][0]["problems"] == []


def test_check_of_a_path_looks_at_what_is_below_it(directory: Path) -> None:
    for path in directory.glob("aliyuncs+one/data/*/*"):
        path.write_bytes(b"z" * 2 * PART)
    [report] = document(directory, "check", "oss://one/d")["buckets"]
    assert report["entries"] == 2
    assert [one["key"] for one in report["problems"]] == ["d/a", "d/b"]
    repaired = run(directory, "check", "oss://one/d/a", "--repair")
    assert repaired.return_value == 0
    [report] = document(directory, "check", "oss://one")["buckets"]
    assert [one["key"] for one in report["problems"] if one["kind"] == "part"] == ["d/b", "e\nf"]


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
    assert "oss://one: 3 objects" in result.output
    assert "ossfs-resume cache check --repair moves it aside" in result.output
    assert run(directory, "check", "--repair").return_value == 0
    assert list(directory.glob("aliyuncs+two/damaged-*/data/*/*"))
    assert [one["bucket"] for one in document(directory, "check")["buckets"]] == ["oss://one"]


@pytest.mark.parametrize("command", ["list", "stat"])
@pytest.mark.parametrize("damage", [not_a_database, damaged_inside, empty])
def test_a_damaged_catalogue_hides_no_other(
    directory: Path, damage: Callable[[Path], None], command: str
) -> None:
    damage(directory / "aliyuncs+one" / "catalog.sqlite3")
    result = run(directory, command)
    assert result.return_value == 1
    assert "oss://two" in result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith("ossfs-resume: oss://one: ")
    assert line.endswith("ossfs-resume cache check --repair moves it aside")
    [error] = json.loads(run(directory, command, "--json").stdout)["errors"]
    assert error["bucket"] == "oss://one"


@pytest.mark.parametrize("damage", [not_a_database, damaged_inside, empty])
def test_a_damaged_cache_can_be_cleared(directory: Path, damage: Callable[[Path], None]) -> None:
    damage(directory / "aliyuncs+two" / "catalog.sqlite3")
    assert run(directory, "clear").return_value == 0
    assert not list(directory.glob("aliyuncs+*/data/*/*"))


def removed(directory: Path, *arguments: str) -> list[int]:
    return [one["removed"] for one in document(directory, *arguments)["buckets"]]


def test_evict_takes_a_key_or_a_directory(directory: Path) -> None:
    assert removed(directory, "evict", "oss://one/d/a") == [1]
    assert removed(directory, "evict", "oss://one/d") == [1]
    assert keys(directory, "oss://one") == ["e\nf"]
    assert len(list(directory.glob("aliyuncs+one/data/*/*"))) == 1


@pytest.mark.parametrize(("command", "stay"), [("evict", "2 stay: 1 pinned, 1 open"),
                                               ("clear", "1 stays: 1 open")])  # fmt: skip
def test_what_stays_is_told(directory: Path, command: str, stay: str) -> None:
    store = CacheStore.open(CacheSettings(directory, "aliyuncs+one", PART))
    entry = store.acquire(ObjectVersion("d/a", "etag", 2 * PART))
    entry.check(0, 1)
    store.keeper.pin([("d/b", 2 * PART)])
    result = run(directory, command, "oss://one")
    assert result.return_value == 1
    assert result.stdout.startswith(f"oss://one: {2 - (command == 'evict')} object")
    assert result.stdout.endswith(f", {stay}\n")
    store.release(entry)
    store.close()


def test_clear_leaves_other_buckets_alone(directory: Path) -> None:
    assert removed(directory, "clear", "oss://one") == [3]
    assert keys(directory) == ["x"]
    assert run(directory, "clear").output == "oss://two: 1 object removed\n"
    assert keys(directory) == []


def test_clear_of_a_path_takes_what_is_below_it_with_its_pins_and_jobs(directory: Path) -> None:
    with workbench.opened(directory, "aliyuncs+one") as bench:
        bench.keeper.pin([("d/a", 2 * PART), ("e\nf", 2 * PART)])
        with bench.catalog.transaction() as transaction:
            for path in ("d/", "d/a", "dd"):
                transaction.add_job(path)
    result = run(directory, "clear", "oss://one/d")
    assert result.output == "oss://one: 2 objects removed, 1 pin let go, 2 jobs cancelled\n"
    assert result.return_value == 0
    assert keys(directory, "oss://one", "--pinned") == ["e\nf"]
    assert document(directory, "list", "oss://one")["jobs"] == ["oss://one/dd"]


@pytest.mark.parametrize("command", ["list", "stat", "check", "evict", "clear"])
def test_what_is_not_there_is_said_so(directory: Path, command: str) -> None:
    for address in ("oss://one/nothing", "oss://one/d/nothing/"):
        with pytest.raises(CacheError, match=f"nothing is cached of {address}$"):
            run_through(directory, command, address)
    with pytest.raises(CacheError, match=r"has nothing of oss://three$"):
        run_through(directory, command, "oss://three/x")
    with pytest.raises(CacheError, match="there is no cache directory"):
        run_through(directory / "nowhere", command, "oss://one")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["evict"], 2, "say what to evict"),
        (["list", "oss://three"], 1, "has nothing of oss://three"),
        (["list", "http://one"], 2, "is not a bucket"),
        (["stat", "--cache-dir", "/nowhere at all"], 1, "no cache directory '/nowhere at all'"),
    ],
)
def test_bad_arguments_get_one_line(
    directory: Path, arguments: list[str], status: int, text: str
) -> None:
    command = [sys.executable, "-m", "ossfs_resume", "cache", arguments[0]]
    result = subprocess.run(
        [*command, "--cache-dir", str(directory), *arguments[1:]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == status
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    put(tmp_path, "aliyuncs+one", *(f"{number:0200}" for number in range(1000)))
    command = f"{sys.executable} -m ossfs_resume cache list --cache-dir {tmp_path} | head -n 1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (len(result.stdout.splitlines()), result.stderr) == (1, "")
