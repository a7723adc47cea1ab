"""Odd objects as OSS shows them: symlinks, archives, appendable and versioned ones. Invented
objects: their bytes are their offsets, at any size.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.emulator.object_facts import Inventions, content
from support.emulator import Answer, EmulatorProcess


def put(emulator: EmulatorProcess, key: str, body: bytes = b"", **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return emulator.request("PUT", emulator.target(key), headers=names, body=body)


def link(emulator: EmulatorProcess, key: str, target: str) -> None:
    answer = emulator.request(
        "PUT", emulator.target(key) + "?symlink", headers={"x-oss-symlink-target": target}
    )
    assert answer.status == 200


def get(emulator: EmulatorProcess, key: str, query: str = "") -> Answer:
    return emulator.request("GET", emulator.target(key) + query)


def test_a_symlink_shows_its_target_and_says_so(emulator: EmulatorProcess) -> None:
    target = put(emulator, "dir/target", b"content")
    link(emulator, "link", "dir%2Ftarget")
    answer = get(emulator, "link")
    assert (answer.body, answer.headers["etag"]) == (b"content", target.headers["etag"])
    assert answer.headers["x-oss-object-type"] == "Symlink"
    described = get(emulator, "link", "?symlink")
    assert described.headers["x-oss-symlink-target"] == "dir%2Ftarget"
    assert described.headers["etag"] != answer.headers["etag"]
    listing = emulator.request("GET", emulator.target()).body
    assert b"<Type>Symlink</Type><Size>10</Size>" in listing


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [("nothing", 404, b"SymlinkTargetNotExist"), ("other", 400, b"InvalidTargetType")],
)
def test_symlinks_to_nothing_and_to_symlinks(
    emulator: EmulatorProcess, target: str, status: int, code: bytes
) -> None:
    put(emulator, "file", b"x")
    link(emulator, "other", "file")
    link(emulator, "link", target)
    answer = get(emulator, "link")
    assert answer.status == status
    assert code in answer.body
    assert get(emulator, "file", "?symlink").status == 400


def test_an_archived_object_can_be_read_once_restored(emulator: EmulatorProcess) -> None:
    put(emulator, "old", b"content", x_oss_storage_class="ColdArchive")
    head = emulator.request("HEAD", emulator.target("old"))
    assert (head.status, head.headers["x-oss-storage-class"]) == (200, "ColdArchive")
    assert b"InvalidObjectState" in get(emulator, "old").body
    assert emulator.request("POST", emulator.target("old") + "?restore").status == 202
    assert get(emulator, "old").body == b"content"


def test_appending(emulator: EmulatorProcess) -> None:
    target = emulator.target("log")
    for position, data in ((0, b"one "), (4, b"two")):
        answer = emulator.request("POST", f"{target}?append&position={position}", body=data)
    assert answer.headers["x-oss-next-append-position"] == "7"
    read = get(emulator, "log")
    assert (read.body, read.headers["x-oss-object-type"]) == (b"one two", "Appendable")
    assert emulator.request("POST", f"{target}?append&position=1", body=b"x").status == 409


@pytest.fixture
def versioned(tmp_path: Path) -> Iterator[EmulatorProcess]:
    directory = tmp_path / "versioned"
    with EmulatorProcess(directory, anonymous=True, options=["--versioned"]) as emulator:
        yield emulator


def test_old_versions_are_read_by_their_id(versioned: EmulatorProcess) -> None:
    first, second = (put(versioned, "k", body) for body in (b"first", b"second"))
    assert get(versioned, "k").body == b"second"
    for answer, body in ((first, b"first"), (second, b"second")):
        version = answer.headers["x-oss-version-id"]
        read = get(versioned, "k", f"?versionId={version}")
        assert (read.body, read.headers["x-oss-version-id"]) == (body, version)
    assert get(versioned, "k", "?versionId=unknown").status == 404


def test_the_requester_may_have_to_pay(emulator: EmulatorProcess) -> None:
    put(emulator, "k", b"x")
    emulator.faults(payer="requester")
    assert get(emulator, "k").status == 403
    headers = {"x-oss-request-payer": "requester"}
    assert emulator.request("GET", emulator.target("k"), headers=headers).body == b"x"


@given(st.integers(0, 2**60), st.integers(0, 100), st.integers(0, 100))
def test_content_is_the_same_however_it_is_cut(offset: int, first: int, second: int) -> None:
    whole = content(offset, first + second)
    assert whole == content(offset, first) + content(offset + first, second)


def test_the_bytes_at_a_multiple_of_eight_are_that_number() -> None:
    assert content(2**45, 8) == (2**45).to_bytes(8, "big")


def test_keys_are_sorted_and_open() -> None:
    inventions = Inventions(3, {b"giant": 48 << 40})
    assert list(inventions.keys) == sorted(inventions.keys)
    assert len(inventions.keys) == 4
    giant = inventions.open(b"giant")
    assert giant is not None
    assert giant.size == 48 << 40
    assert len(giant.read((48 << 40) - 3, 100)) == 3
    assert inventions.open(b"invented/0000003") is None


@pytest.mark.parametrize("key", [b"invented/0000000", b"giant"])
def test_facts_are_stable(key: bytes) -> None:
    first, second = (Inventions(1, {b"giant": 9}).open(key) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.facts == second.facts
