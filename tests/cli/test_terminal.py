"""Keys of any language on terminals of any encoding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ossfs_resume.cache import CacheSettings, CacheStore, ObjectVersion

PART = 65536
KEYS = ("日本語", "grüß €", "line\nbreak", "\udce9", "\U0001f600")

ENCODINGS = (
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252:strict"},
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},  # as in an old locale
)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    store = CacheStore.open(CacheSettings(tmp_path / "cache", "aliyuncs+sample", PART))
    for key in KEYS:
        entry = store.acquire(ObjectVersion(key, "etag", 2 * PART))
        entry.write_parts(0, [[bytes(PART)]])
        store.release(entry)
    store.close()
    return tmp_path / "cache"


def run(setting: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ossfs_resume", *arguments]
    return subprocess.run(command, env=os.environ | setting, capture_output=True, check=False)


@pytest.mark.parametrize("setting", ENCODINGS)
def test_an_address_is_shown_to_be_pasted_and_taken_back(
    cache: Path, setting: dict[str, str]
) -> None:
    listed = run(setting, "cache", "list", "--cache-dir", cache)
    assert (listed.returncode, listed.stderr) == (0, b"")
    rows = listed.stdout.splitlines()[1:-1]
    assert len(rows) == len(KEYS)
    for row in rows:
        address = row.rpartition(b"  ")[2]
        encoding = setting.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
        command = f"printf %s {address.decode(encoding)}"
        pasted = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
        evicted = run(setting, "cache", "evict", "--cache-dir", cache, os.fsdecode(pasted))
        assert evicted.returncode == 0, evicted.stderr


@pytest.mark.parametrize("setting", ENCODINGS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("cache", "list", "oss://sample/ἄ", "--cache-dir", "/nonexistent/日本"),
        ("check", "oss://sample/日本", "--region", "日本"),
        ("mount", "-o", "日本", "oss://sample", "/nonexistent"),
        ("umount", "/nonexistent/\udce9日本"),
        ("emulate", "/nonexistent/日本"),
    ],
)
def test_messages_are_shown(arguments: tuple[str, ...], setting: dict[str, str]) -> None:
    result = run(setting, *arguments)
    assert result.returncode in (1, 2)
    assert b"Traceback" not in result.stderr


def test_a_step_that_names_a_key_is_shown() -> None:
    """On standard output, which is strict where standard error is not."""
    words = ("check", "--endpoint", "http://127.0.0.1:9", "--region", "r", "--proxy", "http://日")
    key = {"OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "secret"}
    result = run(key | {"PYTHONIOENCODING": "latin-1"}, *words, "oss://sample")
    assert b"Traceback" not in result.stderr
    assert rb"\u65e5" in result.stdout
