"""Who has configured ossutil need not say again where the bucket is."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import PROGRAM, Mount

pytestmark = pytest.mark.fuse

KEYS = "[Credentials]\naccessKeyID=emulator\naccessKeySecret=emulator-secret\n"


class Unlocated(Mount):
    """A mount whose command line says neither endpoint nor region."""

    def command(self) -> list[str]:
        command = super().command()
        at = command.index("--endpoint")
        return command[:at] + command[at + 4 :]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(EmulatorProcess, "environment", {"HOME": str(tmp_path)})
    for name in ("OSS_ENDPOINT", "OSS_REGION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "more",
    [
        "endpoint={url}\nregion=cn-hangzhou\n",
        "region=cn-hangzhou\nendpoint=http://127.0.0.1:1\n[Bucket-Endpoint]\nsample={url}\n",
        # A custom domain is asked without the bucket, which the emulator does not know.
        "region=cn-hangzhou\n[Bucket-Endpoint]\nsample={url}\n[Bucket-Cname]\nother={url}\n",
    ],
)
def test_a_mount_without_endpoint_and_region(
    emulator: EmulatorProcess, home: Path, more: str
) -> None:
    (emulator.directory / "x").write_bytes(b"content")
    (home / ".ossutilconfig").write_text(KEYS + more.format(url=emulator.url))
    with Unlocated(emulator, home, options=["--log-level", "debug"]) as mount:
        assert (mount.point / "x").read_bytes() == b"content"
        assert str(home / ".ossutilconfig") in mount.log.read_text()
        assert emulator.access_key_secret not in mount.log.read_text()


def test_a_custom_domain_comes_first(emulator: EmulatorProcess, home: Path) -> None:
    text = "[Bucket-Endpoint]\nsample={url}\n[Bucket-Cname]\nsample=http://data.nowhere.invalid\n"
    (home / ".ossutilconfig").write_text(
        KEYS + "region=cn-hangzhou\n" + text.format(url=emulator.url)
    )
    result = Unlocated(emulator, home).run()
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "data.nowhere.invalid" in line
    assert "sample.data" not in line


def test_neither_options_nor_file(emulator: EmulatorProcess, home: Path) -> None:
    (home / ".ossutilconfig").write_text(KEYS)
    result = Unlocated(emulator, home).run()
    assert result.returncode == 2
    assert "neither --endpoint nor --region" in result.stderr


def test_an_endpoint_that_makes_no_sense_names_its_file(
    emulator: EmulatorProcess, home: Path
) -> None:
    (home / ".ossutilconfig").write_text(KEYS + "endpoint=ftp://x\n")
    result = Unlocated(emulator, home).run()
    assert result.returncode == 2
    assert f"{home / '.ossutilconfig'}: " in result.stderr


def test_check_says_where_it_comes_from(
    start_emulator: Callable[..., EmulatorProcess], home: Path
) -> None:
    emulator = start_emulator()
    text = f"region=cn-hangzhou\n[Bucket-Endpoint]\nsample={emulator.url}\n"
    (home / ".ossutilconfig").write_text(KEYS + text)
    result = subprocess.run(
        [*PROGRAM, "check", "--json", "oss://sample"],
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(result.stdout)
    assert result.returncode == 0
    assert document["endpoint"] == emulator.url
    assert document["located_by"] == f"{home / '.ossutilconfig'}, [Bucket-Endpoint]"
    assert any("[Bucket-Endpoint]" in step["text"] for step in document["steps"])
    assert emulator.access_key_secret not in result.stdout
