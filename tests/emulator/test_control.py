"""Counters, request log, start and end of the process. Temporary keys, accepted beside the
emulator's own until they expire.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import oss2
import pytest
from click.testing import CliRunner

from ossfs_resume.cli.emulate import emulate
from support.emulator import COMMAND, EmulatorProcess
from support.waiting import PATIENCE_S


def test_bytes_are_counted_per_key(emulator: EmulatorProcess) -> None:
    """What was fetched twice shows in the counters; listings and HEAD are no bytes."""
    (emulator.directory / "a").write_bytes(b"x" * 1000)
    (emulator.directory / "ü").write_bytes(b"y" * 10)
    for key, header in [("a", ""), ("a", "bytes=0-99"), ("ü", "")]:
        emulator.request("GET", emulator.target(key), headers={"Range": header})
    emulator.request("HEAD", emulator.target("a"))
    emulator.request("GET", emulator.target())
    statistics = emulator.statistics()
    assert statistics["bytes"] == 1110
    assert statistics["bytes_by_key"] == {"a": 1100, "ü": 10}
    assert statistics["requests"] == {
        "get": 3,
        "head": 1,
        "list": 1,
        "put": 0,
        "delete": 0,
        "other": 0,
    }
    emulator.reset()
    assert emulator.statistics()["bytes"] == 0


def test_the_request_log(emulator: EmulatorProcess) -> None:
    """Method, key, range, condition, status and bytes of each request, in order."""
    (emulator.directory / "a").write_bytes(b"x" * 1000)
    headers = {"Range": "bytes=10-19", "If-Match": '"other"'}
    emulator.request("GET", emulator.target("a"), headers={"Range": "bytes=10-19"})
    emulator.request("GET", emulator.target("a"), headers=headers)
    emulator.request("GET", emulator.target() + "?prefix=p%2F")
    first, second, listing = emulator.requests()
    assert first["range"] == "bytes=10-19"
    assert (first["method"], first["key"], first["status"], first["bytes"]) == ("GET", "a", 206, 10)
    assert (second["if_match"], second["status"], second["bytes"]) == ('"other"', 412, 0)
    assert (listing["kind"], listing["query"]) == ("list", {"prefix": "p/"})
    assert emulator.requests("list") == [listing]


def test_keys_that_are_no_text_are_logged(emulator: EmulatorProcess) -> None:
    """Bytes outside of UTF-8 appear as surrogate escapes, as elsewhere in the package."""
    emulator.request("GET", emulator.target(b"\xff"))
    assert os.fsencode(emulator.requests()[0]["key"]) == b"\xff"


def test_a_wrong_fault_is_explained(emulator: EmulatorProcess) -> None:
    """PUT /-/faults of nonsense is 400 with the reason, and changes nothing."""
    with pytest.raises(ValueError, match="no_such_thing"):
        emulator.faults(no_such_thing=1)
    assert emulator.request("PUT", "/-/faults", body=b"[]").status == 400
    assert b'"hang": ""' in emulator.request("GET", "/-/faults").body


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_at_once(
    start_emulator: Callable[..., EmulatorProcess], number: signal.Signals, status: int
) -> None:
    """Even with a hanging request the process is gone at once, its connection cut."""
    emulator = start_emulator(anonymous=True, options=["--fault", "hang=all"])
    with socket.create_connection(("127.0.0.1", emulator.port)) as client:
        client.sendall(b"GET /sample/o HTTP/1.1\r\nHost: x\r\n\r\n")
        while not emulator.requests():
            pass
        emulator.process.send_signal(number)
        assert client.recv(1) == b""
        assert emulator.process.wait(PATIENCE_S) == status


def test_it_comes_back_on_the_same_port(start_emulator: Callable[..., EmulatorProcess]) -> None:
    """After a crash the endpoint starts again where clients look for it."""
    emulator = start_emulator(anonymous=True)
    port = emulator.port
    assert emulator.kill() == -signal.SIGKILL
    with pytest.raises(ConnectionRefusedError):
        emulator.statistics()
    emulator.start()
    assert emulator.port == port
    assert emulator.statistics()["bytes"] == 0


def test_it_says_how_to_mount(tmp_path: Path) -> None:
    """One line on standard output, as soon as it listens, with URL, bucket and credentials."""
    directory = tmp_path / "My Files"
    directory.mkdir()
    names = ("PATH", "PYTHONPATH")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    command = [*COMMAND, str(directory), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert line.startswith("http://127.0.0.1:")
    assert "OSS_ACCESS_KEY_SECRET=emulator-secret ossfs-resume mount" in line
    assert line.endswith("oss://sample MOUNTPOINT\n")


def test_a_secret_of_ones_own_is_not_printed(tmp_path: Path) -> None:
    """A secret from a file is accepted and stays out of the output."""
    secret = tmp_path / "secret"
    secret.write_text("own-secret\n")
    command = [*COMMAND, str(tmp_path), "--port", "0", "--access-key-secret-file", str(secret)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        process.terminate()
    assert process.returncode == 0
    assert "SECRET" not in line


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--fault", "speed=1"], "no such fault"),
        (["--bucket", "No_Bucket"], "no bucket name"),
        (["--host", "192.0.2.1"], "cannot serve"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    """A bad option or address ends with its reason, not with a traceback."""
    result = CliRunner().invoke(emulate, [str(tmp_path), "--port", "0", *arguments])
    assert result.exit_code in (1, 2)
    assert reason in result.output


def test_the_extra_is_named_when_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvicorn the command says what to install."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "ossfs_resume.emulator.server", raising=False)
    result = CliRunner().invoke(emulate, [str(tmp_path)])
    assert result.exit_code == 1
    assert "pip install '.[emulator]'" in result.output


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = CliRunner().invoke(emulate, [str(tmp_path), "--port", str(port)])
    assert result.exit_code == 1
    assert result.output == f"Error: port {port} is taken; choose another with --port\n"


pytestmark = pytest.mark.peers

KEY = {"access_key_id": "STS.1", "access_key_secret": "s", "security_token": "t"}


def read(emulator: EmulatorProcess, token: str = "t") -> bytes:
    provider = oss2.credentials.StaticCredentialsProvider("STS.1", "s", token)
    auth = oss2.ProviderAuthV4(provider)
    bucket = oss2.Bucket(auth, emulator.url, emulator.bucket, region=emulator.region)
    return bytes(bucket.get_object("x").read())


def test_a_key_until_it_expires(emulator: EmulatorProcess) -> None:
    (emulator.directory / "x").write_bytes(b"1")
    emulator.accounts({**KEY, "expires_at": time.time() + 60})
    assert read(emulator) == b"1"
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        read(emulator, "other")
    assert caught.value.code == "InvalidSecurityToken"
    emulator.accounts({**KEY, "expires_at": time.time() - 1})
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        read(emulator)
    assert caught.value.code == "SecurityTokenExpired"
    emulator.accounts()
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        read(emulator)
    assert caught.value.code == "InvalidAccessKeyId"


@pytest.mark.parametrize("nonsense", [[1], [{}], [{"access_key_id": "a"}], [{**KEY, "x": 1}]])
def test_nonsense_is_refused(emulator: EmulatorProcess, nonsense: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        emulator.accounts(*nonsense)
