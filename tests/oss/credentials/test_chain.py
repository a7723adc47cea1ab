"""The first source that has a key is taken, in the documented order, or the one that is chosen."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from ossfs_resume.errors import AccessDenied, SettingsError
from ossfs_resume.oss.credentials.chain import (
    NAMES,
    SERVICE_FILES,
    Provider,
    Surroundings,
    find_credentials,
)
from ossfs_resume.oss.credentials.fetching import Fetcher
from ossfs_resume.oss.models import Credentials
from support.key_server import KeyServer

FETCHER = Fetcher(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer() as server:
        yield server


class Machine:
    """A home directory, an environment and servers in which every source has a key."""

    def __init__(self, home: Path, server: KeyServer) -> None:
        self.home = home
        token = home / "token"
        token.write_text("t")
        self._write(".ossutilconfig", "[Credentials]\naccessKeyID=ossutil\naccessKeySecret=s\n")
        profile = {"name": "default", "access_key_id": "aliyun", "access_key_secret": "s"}
        self._write(".aliyun/config.json", json.dumps({"profiles": [profile]}))
        self._write(
            ".alibabacloud/credentials",
            "[default]\ntype=access_key\naccess_key_id=shared\naccess_key_secret=s\n",
        )
        for name, text in zip(SERVICE_FILES, ("systemd\n", "s\n"), strict=False):
            self._write(f"service/{name}", text)
        self.environment = {
            "HOME": str(home),
            "CREDENTIALS_DIRECTORY": str(home / "service"),
            "OSS_ACCESS_KEY_ID": "oss-env",
            "OSS_ACCESS_KEY_SECRET": "s",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "env",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s",
            "ALIBABA_CLOUD_ROLE_ARN": "arn",
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "p",
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(token),
            "OSSFS_STS_ENDPOINT": server.url,
            "OSSFS_ECS_METADATA_URL": server.url,
            "ALIBABA_CLOUD_CREDENTIALS_URI": server.url,
        }
        self.keys: Credentials | None = Credentials("options", "s")
        self.process = """echo '{"AccessKeyId": "process", "AccessKeySecret": "s"}'"""

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    async def find(self, chosen: str = "") -> Provider:
        surroundings = Surroundings(self.environment, self.keys, self.process)
        return await find_credentials(surroundings, FETCHER, chosen)

    def remove(self, name: str) -> None:
        """Take a source away."""
        match name:
            case "systemd":  # a service that has credentials of other names
                for file in SERVICE_FILES:
                    (self.home / "service" / file).unlink(missing_ok=True)
            case "options":
                self.keys = None
            case "oss-env":
                del self.environment["OSS_ACCESS_KEY_ID"], self.environment["OSS_ACCESS_KEY_SECRET"]
            case "env":
                del self.environment["ALIBABA_CLOUD_ACCESS_KEY_ID"]
                del self.environment["ALIBABA_CLOUD_ACCESS_KEY_SECRET"]
            case "oidc":
                del self.environment["ALIBABA_CLOUD_ROLE_ARN"]
            case "ossutil":
                (self.home / ".ossutilconfig").unlink()
            case "aliyun":
                (self.home / ".aliyun/config.json").unlink()
            case "shared":
                (self.home / ".alibabacloud/credentials").unlink()
            case "ecs":
                self.environment["OSSFS_ECS_METADATA_URL"] = NOWHERE
            case "uri":
                del self.environment["ALIBABA_CLOUD_CREDENTIALS_URI"]
            case "process":
                self.process = ""


async def test_the_order(tmp_path: Path, server: KeyServer) -> None:
    """Take one source after the other away: the next one gives the key."""
    machine = Machine(tmp_path, server)
    found = []
    for name in NAMES:
        provider = await machine.find()
        credentials = await provider.current()
        assert credentials is not None
        found.append(credentials.access_key_id)
        machine.remove(name)
    assert found == [
        "systemd", "options", "oss-env", "env", "STS.1", "ossutil", "aliyun", "shared", "STS.2",
        "STS.3", "process",
    ]  # fmt: skip
    with pytest.raises(SettingsError, match="set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET"):
        await machine.find()


@pytest.mark.parametrize("name", NAMES)
async def test_a_chosen_source_and_no_other(tmp_path: Path, server: KeyServer, name: str) -> None:
    machine = Machine(tmp_path, server)
    credentials = await (await machine.find(name)).current()
    assert credentials is not None
    assert credentials.access_key_id in (name, "STS.1")
    machine.remove(name)
    if name == "ecs":  # chosen, it is not doubted: the server may come up later
        return
    with pytest.raises(SettingsError, match=f"--credentials {name}: no credentials in "):
        await machine.find(name)


async def test_an_instance_in_trouble_is_told(tmp_path: Path, server: KeyServer) -> None:
    server.fail = 503
    machine = Machine(tmp_path, server)
    for name in set(NAMES) - {"ecs"}:
        machine.remove(name)
    with pytest.raises(SettingsError, match="; the ECS metadata server: HTTP 503"):
        await machine.find()


async def test_a_name_that_is_none(tmp_path: Path, server: KeyServer) -> None:
    with pytest.raises(SettingsError, match="'aws' is none of auto, systemd, options, oss-env"):
        await Machine(tmp_path, server).find("aws")


async def test_files_that_are_empty_or_begin_with_a_mark(tmp_path: Path, server: KeyServer) -> None:
    machine = Machine(tmp_path, server)
    for name in (".ossutilconfig", ".aliyun/config.json", ".alibabacloud/credentials"):
        file = tmp_path / name
        file.write_text("\ufeff" + file.read_text())
    for name in ("ossutil", "aliyun", "shared"):
        assert (await (await machine.find(name)).current()).access_key_id == name
    for name in (".ossutilconfig", ".aliyun/config.json", ".alibabacloud/credentials"):
        (tmp_path / name).write_text("")
    for name in ("systemd", "options", "oss-env", "env", "oidc"):
        machine.remove(name)
    assert (await (await machine.find()).current()).access_key_id == "STS.1"


async def test_a_source_that_is_there_but_broken_is_an_error(
    tmp_path: Path, server: KeyServer
) -> None:
    """Going on to the next one would use another account than the user meant."""
    machine = Machine(tmp_path, server)
    (tmp_path / "service" / SERVICE_FILES[1]).unlink()
    with pytest.raises(SettingsError, match="service: the access key secret is missing"):
        await machine.find()
    machine.remove("systemd")
    del machine.environment["OSS_ACCESS_KEY_SECRET"]
    machine.keys = None
    with pytest.raises(SettingsError, match="OSS_ACCESS_KEY_SECRET is not"):
        await machine.find()


async def test_a_file_is_read_again_when_its_key_was_refused(
    tmp_path: Path, server: KeyServer
) -> None:
    machine = Machine(tmp_path, server)
    provider = await machine.find("ossutil")
    old = await provider.current()
    assert old is not None
    file = tmp_path / ".ossutilconfig"
    file.write_text(file.read_text().replace("=ossutil", "=rotated"))
    assert await provider.current() == old
    assert provider.refused(old)
    new = await provider.current()
    assert new is not None
    assert new.access_key_id == "rotated"


async def test_a_file_that_went_away(tmp_path: Path, server: KeyServer) -> None:
    machine = Machine(tmp_path, server)
    provider = await machine.find("ossutil")
    old = await provider.current()
    assert old is not None
    machine.remove("ossutil")
    provider.refused(old)
    with pytest.raises(AccessDenied, match="no credentials any more"):
        await provider.current()


async def test_where_it_came_from_is_told_without_secrets(
    tmp_path: Path, server: KeyServer
) -> None:
    machine = Machine(tmp_path, server)
    assert (await machine.find("oss-env")).origin == "OSS_ACCESS_KEY_ID"
    assert (await machine.find("aliyun")).origin == f"{tmp_path}/.aliyun/config.json (Keys)"
    assert (await machine.find("ecs")).origin == "the ECS metadata server (EcsRole)"
    machine.environment["ALIBABA_CLOUD_CREDENTIALS_URI"] += "/?VERYSECRET"
    assert "VERYSECRET" not in repr(await machine.find("uri"))
