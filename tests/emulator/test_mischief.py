"""Mischief: the pure choice, then what each kind looks like on the wire."""

from collections import Counter

import pytest

from ossfs_resume.emulator.faults import Faults
from ossfs_resume.emulator.mischief import Mischief, choose
from support.emulator import EmulatorProcess

KINDS = (Mischief.FAIL, Mischief.LIE, Mischief.WHOLE)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_each_kind_meets_its_share_of_the_requests(seed: int) -> None:
    met = Counter(choose(KINDS, 0.1, seed, ordinal)[0] for ordinal in range(3000))
    assert all(200 < met[kind] < 400 for kind in KINDS)
    assert met[None] == 3000 - sum(met[kind] for kind in KINDS)


def test_the_same_seed_makes_the_same_choices() -> None:
    assert choose(KINDS, 0.3, 5, 17) == choose(KINDS, 0.3, 5, 17)
    assert choose((), 0.3, 5, 17) == (None, 0)


@pytest.mark.parametrize("values", [{"mischief": ["joy"]}, {"mischief_share": 1.5}])
def test_what_cannot_be_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Faults.from_json({"mischief": ["lie"]} | values)


@pytest.mark.parametrize(
    ("kind", "status", "header", "value"),
    [
        ("whole", 200, "content-length", "4096"),
        ("shift", 206, "content-range", "bytes 99-198/4096"),
        ("lie", 206, "content-range", "bytes 101-200/4096"),
        ("gzip", 200, "content-encoding", "gzip"),
        ("html", 502, "content-type", "text/html"),
        ("portal", 200, "content-type", "text/html"),
        ("redirect", 302, "location", "/sample/o"),
        ("fail", 503, "content-type", "application/xml"),
    ],
)
def test_a_range_meets_mischief(
    emulator: EmulatorProcess, kind: str, status: int, header: str, value: str
) -> None:
    (emulator.directory / "o").write_bytes(bytes(range(256)) * 16)
    emulator.faults(mischief=[kind], mischief_share=1.0)
    answer = emulator.request("GET", emulator.target("o"), headers={"Range": "bytes=100-199"})
    assert (answer.status, answer.headers[header]) == (status, value)
