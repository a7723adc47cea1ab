"""A bucket as the official SDKs meet it: signed requests only, odd keys among the plain ones."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from support.emulator import EmulatorProcess

PLAIN = {
    "a-1": b"dash",
    "a/1": b"one",
    "a/deep/er": b"deeper",
    "a/deep/est": b"deepest",
    "empty": b"",
    "z b+c&d=e%41": b"signs",
    "文件/中.txt": "内容".encode(),
}
ODD = {
    "a": b"beside a/",
    "a//b": b"double",
    "a/../b": b"dots",
    "dir/": b"",
    "line\nfeed": b"control",
    "~!'()*.txt": b"unreserved or not",
}
LARGE = Random(1).randbytes(1_500_001)


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Every key of the bucket with its content."""
    return PLAIN | ODD | {"large.bin": LARGE}


@pytest.fixture(scope="module")
def endpoint(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
) -> Iterator[EmulatorProcess]:
    """An emulator that holds ``contents`` and accepts signed requests alone."""
    directory: Path = tmp_path_factory.mktemp("peers") / "bucket"
    with EmulatorProcess(directory, anonymous=True) as filling:
        for key, content in contents.items():
            assert filling.request("PUT", filling.target(key), body=content).status == 200
    with EmulatorProcess(directory) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _fresh(endpoint: EmulatorProcess) -> None:
    endpoint.reset()
