"""A mount gets its keys from every kind of source, keeps them fresh, and shows them nowhere."""

import json
import os
import random
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support import launcher
from support.emulator import EmulatorProcess
from support.key_server import KeyServer
from support.mount import Mount

pytestmark = pytest.mark.fuse


@pytest.fixture
def server(emulator: EmulatorProcess) -> Iterator[KeyServer]:
    """Every key that it issues is accepted by the emulator until it expires."""
    with KeyServer() as server:
        server.on_issue = lambda keys: emulator.accounts(*keys)
        yield server


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """What a mount has instead of the emulator's own key."""
    variables = {"HOME": str(tmp_path)}
    monkeypatch.setattr(EmulatorProcess, "environment", variables)
    return variables


def test_tokens_of_seconds_and_nobody_notices(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    server: KeyServer,
    environment: dict[str, str],
) -> None:
    """A copy goes on over many keys, each of which is refused when its time is up."""
    data = random.Random(1).randbytes(12_000_000)
    (emulator.directory / "big").write_bytes(data)
    server.lifetime_s = 2.0
    # On a busy machine a request may be under way for longer than a key is renewed ahead.
    server.on_issue = lambda keys: emulator.accounts(
        *(key | {"expires_at": key["expires_at"] + 2} for key in keys)
    )
    environment["ALIBABA_CLOUD_CREDENTIALS_URI"] = server.url
    few = ["--request-size", "256KiB", "--read-ahead", "256KiB", "--connections", "2"]
    mount = mounts(options=[*few, "--credentials", "uri"]).start()
    emulator.faults(total_bytes_per_s=1_500_000)
    assert (mount.point / "big").read_bytes() == data
    assert len(server.keys) >= 4
    assert mount.statistics()["origin"]["errors"] == 0
    assert "WARNING" not in mount.log.read_text()


def test_old_keys_serve_while_no_new_ones_come(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    server: KeyServer,
    environment: dict[str, str],
) -> None:
    (emulator.directory / "x").write_bytes(b"1" * 300_000)
    server.lifetime_s = 60.0
    environment["ALIBABA_CLOUD_CREDENTIALS_URI"] = server.url
    mount = mounts(options=["--credentials", "uri"]).start()
    server.fail = 500
    assert (mount.point / "x").read_bytes() == b"1" * 300_000


def test_a_revoked_key_is_replaced_at_once(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    server: KeyServer,
    environment: dict[str, str],
) -> None:
    (emulator.directory / "x").write_bytes(b"1" * 300_000)
    environment["ALIBABA_CLOUD_CREDENTIALS_URI"] = server.url
    mount = mounts(options=["--credentials", "uri"]).start()
    server.on_issue = lambda keys: emulator.accounts(keys[-1])
    emulator.accounts()
    assert (mount.point / "x").read_bytes() == b"1" * 300_000
    assert len(server.keys) == 2


def test_a_token_of_the_environment_cannot_be_renewed(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], environment: dict[str, str]
) -> None:
    key = {"access_key_id": "STS.a", "access_key_secret": "s", "security_token": "t"}
    emulator.accounts({**key, "expires_at": 1.0})
    environment |= {
        "OSS_ACCESS_KEY_ID": "STS.a",
        "OSS_ACCESS_KEY_SECRET": "s",
        "OSS_SESSION_TOKEN": "t",
    }
    result = mounts().run()
    assert result.returncode == 1
    assert "SecurityTokenExpired" in result.stderr
    assert "cannot be renewed by a running process" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_program_that_takes_longer_for_a_key_than_a_bucket_may_for_an_answer(
    mounts: Callable[..., Mount], environment: dict[str, str]
) -> None:
    key = '{"AccessKeyId": "emulator", "AccessKeySecret": "emulator-secret"}'
    program = ["--credentials", "process", "--credentials-process", f"sleep 5.5; echo '{key}'"]
    assert os.listdir(mounts(options=program).start().point) == []


def arrange(name: str, home: Path, server: KeyServer, variables: dict[str, str]) -> list[str]:
    """Make ``name`` the one source that has a key; returns further options."""
    profile: dict[str, str] = {}
    match name:
        case "options":
            file = home / "config.toml"
            file.write_text('access-key-id = "emulator"\naccess-key-secret = "emulator-secret"\n')
            file.chmod(0o600)
            return ["--config", str(file)]
        case "systemd":
            (home / "service").mkdir()
            for file, text in (("id", "emulator"), ("secret", "emulator-secret")):
                (home / f"service/oss-access-key-{file}").write_text(f"{text}\n")
            variables["CREDENTIALS_DIRECTORY"] = str(home / "service")
        case "ossutil":
            text = "[Credentials]\naccessKeyID=emulator\naccessKeySecret=emulator-secret\n"
            (home / ".ossutilconfig").write_text(text)
        case "RamRoleArn":
            server.secrets["ak"] = "VERYSECRET"
            variables["OSSFS_STS_ENDPOINT"] = server.url
            profile = {"access_key_id": "ak", "access_key_secret": "VERYSECRET"}
            profile["ram_role_arn"] = "arn"
        case "External":
            profile["process_command"] = printing(server.url)
        case "env":
            variables["ALIBABA_CLOUD_ACCESS_KEY_ID"] = "emulator"
            variables["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] = "emulator-secret"
        case "AK":
            profile = {"access_key_id": "emulator", "access_key_secret": "emulator-secret"}
        case "StsToken":
            key = server.issue()
            profile = {"access_key_id": key["AccessKeyId"], "sts_token": key["SecurityToken"]}
            profile["access_key_secret"] = key["AccessKeySecret"]
        case "EcsRamRole":
            variables["OSSFS_ECS_METADATA_URL"] = server.url
            profile["ram_role_name"] = "reader-role"
        case "OIDC":
            (home / "token").write_text("VERYSECRET")
            variables["OSSFS_STS_ENDPOINT"] = server.url
            profile = {"oidc_provider_arn": "provider", "oidc_token_file": str(home / "token")}
            profile["ram_role_arn"] = "arn"
        case "ChainableRamRoleArn":
            server.secrets["ak"] = "VERYSECRET"
            variables["OSSFS_STS_ENDPOINT"] = server.url
            profile = {"source_profile": "source", "ram_role_arn": "arn"}
        case "uri":
            variables["ALIBABA_CLOUD_CREDENTIALS_URI"] = f"{server.url}/VERYSECRET"
        case "shared":
            file = home / ".alibabacloud/credentials"
            file.parent.mkdir()
            file.write_text(
                "[default]\ntype=access_key\naccess_key_id=emulator\n"
                "access_key_secret=emulator-secret\n"
            )
        case "oidc":
            (home / "token").write_text("VERYSECRET")
            variables |= {
                "ALIBABA_CLOUD_ROLE_ARN": "arn",
                "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "provider",
                "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(home / "token"),
                "OSSFS_STS_ENDPOINT": server.url,
            }
        case "ecs":
            variables["OSSFS_ECS_METADATA_URL"] = server.url
        case "process":
            return ["--credentials-process", printing(server.url), "--credentials", "process"]
    if profile:
        (home / ".aliyun").mkdir()
        source = {"access_key_id": "ak", "access_key_secret": "VERYSECRET"}
        profiles = [
            {"name": "me", "mode": name, **profile},
            {"name": "source", "mode": "AK", **source},
        ]
        text = json.dumps({"current": "me", "profiles": profiles})
        (home / ".aliyun/config.json").write_text(text)
    return []


def printing(url: str) -> str:
    """A command that prints what ``url`` answers."""
    code = "import http.client as h,sys;c=h.HTTPConnection(sys.argv[1]);c.request('GET','/');"
    code += "sys.stdout.write(c.getresponse().read().decode())"
    return shlex.join([sys.executable, "-c", code, urlsplit(url).netloc])


def command_lines() -> list[str]:
    """Of all processes, as ps shows them."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            lines.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return lines


def check(mount: Mount, options: list[str]) -> str:
    """What ``check`` prints of the same bucket with the same options, at its most talkative."""
    arguments = ["check", "--json", "--log-level", "debug", *options]
    arguments += ["--endpoint", mount.emulator.url, "--region", mount.emulator.region, mount.source]
    result = launcher.run(arguments, mount.emulator.environment)
    assert json.loads(result.stdout)["ok"]
    return result.stdout + result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "systemd",
        "options",
        "env",
        "oidc",
        "ossutil",
        "shared",
        "ecs",
        "uri",
        "process",
        "AK",
        "StsToken",
        "RamRoleArn",
        "ChainableRamRoleArn",
        "EcsRamRole",
        "OIDC",
        "External",
    ],
)
def test_every_source_mounts_and_its_secrets_are_nowhere(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    server: KeyServer,
    environment: dict[str, str],
    tmp_path: Path,
    name: str,
) -> None:
    (emulator.directory / "x").write_bytes(b"1" * 1000)
    options = arrange(name, tmp_path, server, environment)
    mount = mounts(options=["--log-level", "debug", *options], is_forked=False).start()
    assert (mount.point / "x").read_bytes() == b"1" * 1000
    attributes = [mount.attribute("x", each) for each in ("status", "state", "key", "etag")]
    # A failure is told in words and, at this level, with tracebacks.
    emulator.faults(fail_every=1, fail_status=403, fail_code="InvalidAccessKeyId")
    with pytest.raises(PermissionError):
        (mount.point / "unknown").stat()
    with pytest.raises(OSError):
        os.setxattr(mount.point, "user.ossfs.unknown", b"1")
    emulator.faults()
    places = [
        *command_lines(),
        check(mount, options),
        mount.log.read_text(),
        json.dumps(mount.statistics()),
        *attributes,
        *(file.read_bytes().decode("latin-1") for file in mount.cache.rglob("*") if file.is_file()),
    ]
    secrets = [*server.all_secrets, emulator.access_key_secret, "VERYSECRET"]
    assert [s for s in secrets for place in places if s in place] == []
    assert "credentials from " in mount.log.read_text()
    assert "InvalidAccessKeyId" in mount.log.read_text()


def test_a_file_of_secrets_that_others_may_read_is_refused(
    mounts: Callable[..., Mount], environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('access-key-id = "emulator"\naccess-key-secret = "emulator-secret"\n')
    file.chmod(0o644)
    result = mounts(options=["--config", str(file)]).run()
    assert result.returncode == 2
    assert result.stderr == (
        f"ossfs-resume: {file} holds a secret that others may read: chmod 600 {file}\n"
    )


def test_a_source_that_refuses_is_named_in_one_line(
    mounts: Callable[..., Mount], server: KeyServer, environment: dict[str, str]
) -> None:
    server.fail = 403
    environment["ALIBABA_CLOUD_CREDENTIALS_URI"] = server.url
    result = mounts(options=["--credentials", "uri"]).run()
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "the credentials URI: HTTP 403" in line
    assert not os.path.ismount(mounts().point)


def test_nothing_but_the_reason_is_said_where_there_is_no_key(
    mounts: Callable[..., Mount], environment: dict[str, str]
) -> None:
    """Also on the terminal, where the log would go as well."""
    environment["OSSFS_ECS_METADATA_URL"] = "http://127.0.0.1:1"
    mount = mounts()
    at = mount.command().index("--log-file")
    command = [*mount.command()[:at], *mount.command()[at + 2 :]]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OSS_")}
    result = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "no access key found (looked in $CREDENTIALS_DIRECTORY, the options file, OSS" in line


def test_a_known_bucket_mounts_although_no_key_can_be_had(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    server: KeyServer,
    environment: dict[str, str],
) -> None:
    (emulator.directory / "x").write_bytes(b"content")
    environment["ALIBABA_CLOUD_CREDENTIALS_URI"] = server.url
    mount = mounts(options=["--credentials", "uri"]).start()
    assert (mount.point / "x").read_bytes() == b"content"
    mount.stop()
    server.fail = 500
    mount.start()
    assert "mounted offline with what the cache has; new files appear once" in mount.log.read_text()
    server.fail = 0
    assert (mount.point / "x").read_bytes() == b"content"
