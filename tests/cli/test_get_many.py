"""``ossfs-resume get`` of several objects: prefixes, patterns, lists, and what fails among them."""

import json
import os
from pathlib import Path

import pytest

from support import launcher
from support.emulator import EmulatorProcess
from support.get import MIB, fetch, flags, get
from support.objects import digest, fill
from support.resume import fetched, make_object
from support.waiting import eventually


def outcomes(document: dict[str, object]) -> dict[str, str]:
    """By key."""
    return {one["key"]: one["outcome"] for one in document["objects"]}  # type: ignore[attr-defined]


def put(emulator: EmulatorProcess, *names: str) -> None:
    for name in names:
        path = emulator.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_everything_below_a_prefix(emulator: EmulatorProcess, tmp_path: Path) -> None:
    fill(emulator.directory / "tree")
    put(emulator, "treehouse")
    document = fetch(emulator, "-r", "oss://sample/tree", tmp_path / "new" / "copy")
    assert document["ok"]
    assert digest(tmp_path / "new" / "copy") == digest(emulator.directory / "tree")
    emulator.reset()
    again = fetch(emulator, "-r", "oss://sample/tree/", tmp_path / "new" / "copy")
    assert set(outcomes(again).values()) == {"here already"}
    assert sum(emulator.statistics()["bytes_by_key"].values()) == 0


def test_what_is_included_and_not_excluded(emulator: EmulatorProcess, tmp_path: Path) -> None:
    put(emulator, "a/x.txt", "a/y.bin", "a/b/z.txt", "a/b/w.tmp.txt")
    options = ["--include", "*.txt", "--exclude", "*.tmp.*", "--exclude", "nothing"]
    document = fetch(emulator, "-r", "oss://sample/a/", tmp_path, *options)
    assert set(outcomes(document)) == {"a/x.txt", "a/b/z.txt"}
    assert get(emulator, "oss://sample/a/x.txt", tmp_path, *options).returncode == 2


def test_several_sources_and_lists(emulator: EmulatorProcess, tmp_path: Path) -> None:
    put(emulator, "a/x", "a/y", "b/z", "b/c/w")
    fetch(emulator, "oss://sample/a/x", "oss://sample/b/z", tmp_path / "1")
    assert sorted(os.listdir(tmp_path / "1")) == ["x", "z"]
    listed = tmp_path / "list"
    listed.write_text("oss://sample/a/y\noss://sample/b/z\n")
    fetch(emulator, "--from-file", listed, tmp_path / "2")
    assert sorted(os.listdir(tmp_path / "2")) == ["y", "z"]
    listed.write_text("z\nc/w\n")
    fetch(emulator, "--from-file", listed, "oss://sample/b/", tmp_path / "3")
    assert digest(tmp_path / "3") == digest(emulator.directory / "b")


def test_several_to_standard_output_are_one_after_the_other(
    emulator: EmulatorProcess,
) -> None:
    put(emulator, "x", "y")
    assert get(emulator, "oss://sample/y", "oss://sample/x", "-").stdout == "yx"
    assert get(emulator, "-r", "oss://sample/", "-").returncode == 2


def test_one_that_fails_does_not_keep_the_rest(emulator: EmulatorProcess, tmp_path: Path) -> None:
    put(emulator, *(f"d/{i}" for i in range(50)))
    place = tmp_path / "place"
    (place / "7" / "in the way").mkdir(parents=True)
    result = get(emulator, "-r", "oss://sample/d/", place)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 2
    assert "it is a directory" in result.stderr
    assert "49 objects" in result.stderr
    assert len(os.listdir(place)) == 50


def test_keys_that_lead_out_are_refused_by_name(emulator: EmulatorProcess, tmp_path: Path) -> None:
    key = "d/../../evil"
    keys = ["d//empty", "d/./dot", key, "d/.", "d/good"]
    for one in keys:
        request = emulator.request("PUT", emulator.target(one), body=b"evil")
        assert request.status == 200, request.body
    place = tmp_path / "place"
    result = get(emulator, "-r", "oss://sample/d/", place, "--output", "json")
    assert result.returncode == 1
    assert outcomes(json.loads(result.stdout)) == {
        one: "downloaded" if one == "d/good" else "failed" for one in keys
    }
    assert sorted(os.listdir(tmp_path)) == ["place"]
    assert os.listdir(place) == ["good"]


def test_a_prefix_without_keys_is_a_failure(emulator: EmulatorProcess, tmp_path: Path) -> None:
    result = get(emulator, "-r", "oss://sample/nothing", tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "there is no key below" in result.stderr


def test_a_killed_run_fetches_no_object_twice(emulator: EmulatorProcess, tmp_path: Path) -> None:
    for name in range(20):
        make_object(emulator, 100_000, f"d{name}")
    big = make_object(emulator, 8 * MIB, "big")
    emulator.faults(total_bytes_per_s=2 * MIB)
    command = ["get", *flags(emulator), "-r", "oss://sample/", str(tmp_path)]
    run = launcher.Running(command, emulator.environment)
    eventually(lambda: (tmp_path / "d3").exists())
    run.kill()
    run.end()
    here = [name for name in range(20) if (tmp_path / f"d{name}").exists()]
    eventually(lambda: emulator.statistics()["open_streams"] == 0)
    emulator.reset()
    fetch(emulator, "-r", "oss://sample/", tmp_path)
    assert digest(tmp_path) == digest(emulator.directory)
    assert [fetched(emulator, f"d{name}") for name in here] == [0] * len(here)
    assert (tmp_path / "big").read_bytes() == big


def test_the_same_object_to_two_places(emulator: EmulatorProcess, tmp_path: Path) -> None:
    (emulator.directory / "a").mkdir()
    data = make_object(emulator, 8 * MIB, "a/object")
    for sources in (["oss://sample/", "oss://sample/a/"], ["oss://sample/a/"] * 2):
        fetch(emulator, "-r", *sources, tmp_path / "place")
        for path in (tmp_path / "place").rglob("object"):
            assert path.read_bytes() == data
    assert (tmp_path / "place" / "object").exists()
    assert (tmp_path / "place" / "a" / "object").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["oss://one/a", "oss://two/b", "DEST"],
        ["--from-file", "/nowhere", "DEST"],
        ["DEST"],
        ["oss://one/a", ""],
        ["oss://one/a", "-", "--output", "json"],
    ],
    ids=str,
)
def test_wrong_usage_is_one_line(emulator: EmulatorProcess, arguments: list[str]) -> None:
    result = get(emulator, *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
