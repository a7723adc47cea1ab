"""Keys from real servers and programs."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ossfs_resume import errors
from ossfs_resume.oss.credentials.fetching import Fetcher
from ossfs_resume.oss.credentials.recipes import (
    EcsRole,
    Keys,
    OidcRole,
    Process,
    RamRole,
    Role,
    Uri,
)
from ossfs_resume.oss.models import Credentials
from support.key_server import ROLE, SESSION, KeyServer

FETCHER = Fetcher(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
SOURCE = Keys(Credentials("ak", "sk", "source token"))


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer(secrets={"ak": "sk"}) as server:
        yield server


async def test_the_metadata_server_hardened_first(server: KeyServer) -> None:
    server.is_plain = False
    issued = await FETCHER.issue(EcsRole(url=server.url))
    assert issued.credentials.access_key_id == "STS.1"
    assert issued.lifetime_s == pytest.approx(3600, abs=5)
    assert [asked.method for asked in server.asked] == ["PUT", "GET", "GET"]
    assert server.asked[0].headers["x-aliyun-ecs-metadata-token-ttl-seconds"] == "21600"
    assert server.asked[2].headers["x-aliyun-ecs-metadata-token"] == SESSION
    assert server.asked[2].path.endswith(f"/{ROLE}")


async def test_the_metadata_server_without_that_mode(server: KeyServer) -> None:
    server.hardened = False
    issued = await FETCHER.issue(EcsRole("named", server.url))
    assert issued.credentials.access_key_id == "STS.1"
    assert "x-aliyun-ecs-metadata-token" not in server.asked[-1].headers
    with pytest.raises(errors.AccessDenied):
        await FETCHER.issue(EcsRole("named", server.url, plain_allowed=False))


async def test_a_metadata_server_whose_session_does_not_arrive(server: KeyServer) -> None:
    server.drops = "PUT"
    issued = await FETCHER.issue(EcsRole(url=server.url))
    assert issued.credentials.access_key_id == "STS.1"
    with pytest.raises(errors.Unreachable):
        await FETCHER.issue(EcsRole(url=server.url, plain_allowed=False))


async def test_an_instance_without_a_role(server: KeyServer) -> None:
    server.role = ""
    with pytest.raises(errors.AccessDenied, match="HTTP 404"):
        await FETCHER.issue(EcsRole(url=server.url))


async def test_a_role_is_assumed_with_a_signature(server: KeyServer) -> None:
    role = Role("acs:ram::1:role/a b", server.url, policy='{"a": "*~"}', external_id="ü")
    issued = await FETCHER.issue(RamRole(role, SOURCE))
    assert issued.credentials.security_token == "issued-token/1+=="
    [asked] = server.asked
    assert asked.query["SecurityToken"] == "source token"
    assert asked.form["RoleArn"] == "acs:ram::1:role/a b"
    assert asked.form["DurationSeconds"] == "3600"


async def test_a_role_upon_a_role_upon_an_instance(server: KeyServer) -> None:
    server.secrets["STS.1"] = "issued-secret-1-0xFEED"
    server.secrets["STS.2"] = "issued-secret-2-0xFEED"
    role = Role("arn", server.url)
    issued = await FETCHER.issue(RamRole(role, RamRole(role, EcsRole(url=server.url))))
    assert issued.credentials.access_key_id == "STS.3"


async def test_a_wrong_secret_is_told_without_the_token(server: KeyServer) -> None:
    wrong = Keys(Credentials("ak", "nonsense", "VERYSECRET"))
    with pytest.raises(errors.AccessDenied, match="SignatureDoesNotMatch") as caught:
        await FETCHER.issue(RamRole(Role("arn", server.url), wrong))
    assert "VERYSECRET" not in str(caught.value)


async def test_the_token_file_is_read_each_time(server: KeyServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    recipe = OidcRole(Role("arn", server.url), "provider", str(file))
    for text in ("one", "two"):
        file.write_text(f"{text}\n")
        await FETCHER.issue(recipe)
    assert [asked.form["OIDCToken"] for asked in server.asked] == ["one", "two"]
    file.unlink()
    with pytest.raises(errors.AccessDenied, match="No such file"):
        await FETCHER.issue(recipe)


async def test_a_credentials_uri(server: KeyServer) -> None:
    issued = await FETCHER.issue(Uri(f"{server.url}/key?a=b%20c"))
    assert issued.credentials.access_key_id == "STS.1"
    assert (server.asked[0].path, server.asked[0].query) == ("/key", {"a": "b c"})


async def test_the_lifetime_is_judged_by_the_server_s_clock(server: KeyServer) -> None:
    """Else a machine whose clock is wrong would ask for every request, or too late."""
    server.clock_offset_s = 86_400
    issued = await FETCHER.issue(Uri(server.url))
    assert issued.lifetime_s == pytest.approx(3600, abs=5)


@pytest.mark.parametrize(
    ("status", "kind"), [(500, errors.ServerFailed), (403, errors.AccessDenied)]
)
async def test_a_server_that_fails(
    server: KeyServer, status: int, kind: type[errors.OriginError]
) -> None:
    server.fail = status
    with pytest.raises(kind):
        await FETCHER.issue(Uri(server.url))


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(errors.Unreachable, match="the credentials URI: "):
        await FETCHER.issue(Uri("http://127.0.0.1:1/"))


@pytest.mark.parametrize(
    "output",
    [
        '{"AccessKeyId": "a", "AccessKeySecret": "b", "SecurityToken": "c"}',
        '{"mode": "StsToken", "access_key_id": "a", "access_key_secret": "b", "sts_token": "c"}',
    ],
)
async def test_a_program_in_both_dialects(output: str) -> None:
    issued = await FETCHER.issue(Process(("printf", "%s", output)))
    assert issued.credentials == Credentials("a", "b", "c")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("false",), "ended with status 1"),
        (("sh", "-c", "echo VERYSECRET"), "no JSON object"),
        (("/nowhere/VERY",), "cannot be started: No such file"),
    ],
)
async def test_a_program_that_fails(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(errors.TransientError, match=words) as caught:
        await FETCHER.issue(Process(arguments))
    assert "VERY" not in str(caught.value)


async def test_a_program_that_hangs_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(errors.OriginTimeout, match=r"0\.2 s"):
        await FETCHER.issue(Process(("sleep", "60"), timeout_s=0.2))
    assert time.monotonic() - started < 20


async def test_relative_paths_are_meant_from_where_it_was_started(
    server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("t")
    tool = tmp_path / "tool"
    tool.write_text("""#!/bin/sh\necho '{"AccessKeyId": "a", "AccessKeySecret": "b"}'\n""")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    fetcher = Fetcher(FETCHER.context)
    monkeypatch.chdir("/")
    await fetcher.issue(OidcRole(Role("arn", server.url), "p", "token"))
    assert server.asked[0].form["OIDCToken"] == "t"
    issued = await fetcher.issue(Process(("/bin/sh", "-c", "./tool")))
    assert issued.credentials == Credentials("a", "b")
