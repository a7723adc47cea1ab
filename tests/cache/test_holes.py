"""Holes are made, and seen."""

import os
from pathlib import Path

import pytest

from ossfs_resume.cache import holes

PAGE = 65536


def test_a_punched_range_reads_as_zeros_and_takes_no_space(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 8 * PAGE)
    descriptor = os.open(path, os.O_RDWR)
    before = os.fstat(descriptor).st_blocks
    holes.punch(descriptor, 2 * PAGE, 4 * PAGE)
    assert os.fstat(descriptor).st_size == 8 * PAGE
    assert (before - os.fstat(descriptor).st_blocks) * 512 == 4 * PAGE
    assert os.pread(descriptor, 4 * PAGE, 2 * PAGE) == bytes(4 * PAGE)
    assert os.pread(descriptor, PAGE, PAGE) == b"x" * PAGE
    runs = list(holes.data_runs(descriptor, 0, 8 * PAGE))
    assert runs == [(0, 2 * PAGE), (6 * PAGE, 8 * PAGE)]
    assert list(holes.data_runs(descriptor, 2 * PAGE, 5 * PAGE)) in ([], [(6 * PAGE, 8 * PAGE)])
    os.close(descriptor)


def test_errors_have_their_number(tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised:
        holes.punch(os.open(os.devnull, os.O_RDWR), 0, PAGE)
    assert raised.value.errno
