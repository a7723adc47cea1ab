"""What is said of a file, a directory and a mount."""

from typing import Any

import click
import pytest

from ossfs_resume.cli.status_text import coloured, squeezed, text_of

MIB = 1 << 20
FILE = {
    "path": "/m/f", "source": "oss://b", "kind": "file", "job": None, "map": "##+>..",
    "status": {
        "state": "partial", "bytes_present": MIB, "size": 2 * MIB, "parts_present": 4, "parts": 8,
        "pinned": True, "error": "GET f: no",
    },
}  # fmt: skip
STATS = {
    "offline": False,
    "origin": {"range_requests": 5, "list_requests": 1, "errors": 2, "throttled": 0, "down_s": 0},
    "fetch": {"queued": 1, "running": 2, "bytes_received": MIB, "bytes_per_second": 3.0 * MIB},
    "cache": {"allocated_bytes": MIB, "limit_bytes": 4 * MIB, "directory": "/c", "error": ""},
    "jobs": {"queued": 0, "running": 1, "paused": 2, "failed": 1},
    "kernel": {"read_ahead_kib": 512, "max_background": 4096, "warnings": []},
}
MOUNT = {
    "path": "/m", "source": "oss://b", "kind": "mount", "job": None, "stats": STATS,
    "status": {
        "state": "partial", "objects": 1, "complete": 0, "pinned": 0, "bytes_present": MIB,
        "size": 2 * MIB, "error": None,
    },
}  # fmt: skip


def text(document: Any, width: int = 200, map_width: int = 200) -> list[str]:
    return [click.unstyle(line) for line in text_of(document, width, map_width)]


def test_a_file_has_a_state_a_map_and_an_error() -> None:
    assert text(FILE) == [
        "/m/f",
        "  partial: 1.0 MiB of 2.0 MiB here, 4 of 8 parts, pinned",
        "  ##+>..",
        "  GET f: no",
    ]


def test_a_mount_has_all_that_an_operator_asks_first() -> None:
    assert text(MOUNT) == [
        "oss://b on /m: up",
        "  traffic   3.0 MiB/s, 1.0 MiB received, 6 requests (2 running, 1 queued), 2 failed",
        "  cache     1.0 MiB of 4.0 MiB in /c",
        "  files     1.0 MiB of 2.0 MiB here, 0 of 1 known file complete",
        "  jobs      1 running, 2 paused, 1 file failed of late",
        "  kernel    read-ahead 512 KiB, 4096 requests in the background",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"offline": True}, "oss://b on /m: offline"),
        ({"origin": {"down_s": 75}}, "the origin has not answered for 1:15; what is cached"),
        ({"fetch": STATS["fetch"] | {"running": 0}}, "  traffic   0 B/s"),
        ({"cache": STATS["cache"] | {"error": "disk full"}}, "  cache     not used: disk full"),
        ({"jobs": {}}, "  jobs      none"),
        (
            {"kernel": {"read_ahead_kib": 128, "max_background": None, "warnings": ["so slow"]}},
            "read-ahead 128 KiB, few requests at once, only root may raise these limits, so slow",
        ),
    ],
)
def test_what_is_wrong_with_a_mount_is_seen(changes: dict[str, Any], said: str) -> None:
    assert said in "\n".join(text(MOUNT | {"stats": STATS | changes}))


def test_what_is_wrong_with_the_cache_is_said_once() -> None:
    cache = STATS["cache"] | {"error": "disk full"}
    status = MOUNT["status"] | {"error": "disk full"}  # type: ignore[operator]
    said = text(MOUNT | {"status": status, "stats": STATS | {"cache": cache}})
    assert [line for line in said if "disk full" in line] == ["  cache     not used: disk full"]


def test_a_job_is_told_where_it_was_asked_for() -> None:
    job = {
        "state": "running", "objects": 3, "objects_done": 1, "total_bytes": 30, "bytes": 10,
        "reused_bytes": 0, "is_counted": True, "failed": 1, "failures": [["d/x", "denied"]],
        "transferring": [], "error": "down",
    }  # fmt: skip
    status = MOUNT["status"] | {"jobs": {"running": 1}}  # type: ignore[operator]
    directory = {"path": "/m/d", "source": "", "kind": "directory", "status": status, "job": job}
    assert text(directory)[2:] == [
        "  job: running, 10 B of 30 B, 1 of 3 files, 1 failed, trying again: down",
        "  jobs below: 1 running",
    ]
    paused = {"state": "paused", "objects": 0, "is_counted": False, "failed": 0, "error": ""}
    assert text(directory | {"job": job | paused})[2] == "  job: paused"
    assert text(directory | {"job": job | {"state": "failed"}})[2:4] == [
        "  last job: failed, 1 of 3 files failed",
        "    d/x: denied",
    ]


def test_lines_fit_and_hold_no_escapes_of_others() -> None:
    odd = FILE | {"path": "/m/" + "x\x1b[2J" * 30, "map": "#." * 256}
    lines = text(odd, 40, 40)
    assert all(len(line) <= 40 for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_map_may_have_less_room_than_the_lines_around_it() -> None:
    long = FILE | {"path": "/m/" + "x" * 150, "map": "#." * 256}
    assert [len(line) for line in text(long, 200, 76)[:3]] == [153, 56, 76]


def test_a_map_that_is_squeezed_shows_what_is_under_way() -> None:
    assert squeezed("##..##>...:#", 6) == "#.#>.:"
    assert squeezed("#.#.", 2) == "++"
    assert squeezed("#.", 100) == "#."
    assert click.unstyle(coloured("##.")) == "##."


def test_what_cannot_be_asked_is_one_line() -> None:
    assert text({"path": "/m", "source": "", "error": "no"}) == ["no"]
