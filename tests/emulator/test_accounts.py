"""Temporary keys, accepted beside the emulator's own until they expire."""

import time

import oss2
import pytest

from support.emulator import EmulatorProcess

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
