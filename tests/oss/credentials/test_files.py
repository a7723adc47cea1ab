"""The credential files of ossutil, of the aliyun command line and of the SDKs."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials import aliyun_cli, ini, ossutil, shared_file
from ossfs_resume.oss.credentials.recipes import (
    EcsRole,
    Keys,
    OidcRole,
    Process,
    RamRole,
    Role,
)
from ossfs_resume.oss.models import Credentials

KEYS = Keys(Credentials("ak", "sk"))
STS_URL = "https://sts.aliyuncs.com"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Credentials]\nlanguage=EN\nendpoint=oss-cn-hangzhou.aliyuncs.com\n", None),
        ("", None),
        ("[Credentials]\naccessKeyID=ak\naccessKeySecret = sk \n", KEYS),
        ("[Credentials]\naccess_key_id: ak\naccess-key-secret: sk\n", KEYS),
        ("[Credentials]\naccessid=ak\naccess_key=sk%%x\n", Keys(Credentials("ak", "sk%%x"))),
        ("[default]\naccessKeyID=ak\naccessKeySecret=sk\n", KEYS),
        (
            "[Credentials]\naccessKeyID=ak\naccessKeySecret=sk\nstsToken=t\n",
            Keys(Credentials("ak", "sk", "t")),
        ),
        (
            "[Credentials]\nmode=AK\naccessKeyID=ak\naccessKeySecret=sk\nstsToken=old\n",
            KEYS,
        ),
        ("[Credentials]\nmode=EcsRamRole\necsRoleName=r\n", EcsRole("r")),
        (
            "[AkService]\necsAk=http://100.100.100.200/latest/meta-data/ram/security-credentials/r",
            EcsRole("r"),
        ),
        (
            "[Credentials]\nmode=RamRoleArn\naccessKeyID=ak\naccessKeySecret=sk\nramRoleArn=arn\n"
            "roleSessionName=me\ntokenTimeOut=900\nstsRegion=cn-beijing\n",
            RamRole(Role("arn", "https://sts.cn-beijing.aliyuncs.com", "me", 900), KEYS),
        ),
    ],
)
def test_ossutil(text: str, expected: object) -> None:
    assert ossutil.parse(text, {}, "f") == expected


def cli(*profiles: dict[str, Any], current: str = "p") -> str:
    return json.dumps({"current": current, "profiles": [{"name": "p"} | p for p in profiles]})


AK = {"mode": "AK", "access_key_id": "ak", "access_key_secret": "sk"}


def test_indented_lines_of_ossutil_are_lines() -> None:
    text = "[Credentials]\n  language = EN\n\taccessKeyID = id\r\n    accessKeySecret = secret\n"
    recipe = ossutil.parse(text, {}, "there")
    assert recipe == Keys(Credentials("id", "secret"))


ARN = {"ram_role_arn": "arn", "ram_session_name": "me", "expired_seconds": 1800}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cli(AK), KEYS),
        (cli(AK | {"sts_token": "left over"}), KEYS),
        (cli(AK | {"mode": "StsToken", "sts_token": "t"}), Keys(Credentials("ak", "sk", "t"))),
        (cli(AK | {"mode": "CloudSSO", "sts_token": "t"}), Keys(Credentials("ak", "sk", "t"))),
        (cli({"mode": "EcsRamRole", "ram_role_name": "r"}), EcsRole("r")),
        (
            cli({"mode": "External", "process_command": "tool 'a b' c"}),
            Process(("tool", "a b", "c")),
        ),
        (
            cli(AK | ARN | {"mode": "RamRoleArn", "external_id": "x", "policy": "{}"}),
            RamRole(Role("arn", STS_URL, "me", 1800, "{}", "x"), KEYS),
        ),
        (
            cli(ARN | {"mode": "ChainableRamRoleArn", "source_profile": "q"}, AK | {"name": "q"}),
            RamRole(Role("arn", STS_URL, "me", 1800), KEYS),
        ),
        (
            cli(
                ARN
                | {"mode": "OIDC", "oidc_provider_arn": "p", "oidc_token_file": "/t"}
                | {"role_session_name": "you", "sts_region": "cn-x"}
            ),
            OidcRole(Role("arn", "https://sts.cn-x.aliyuncs.com", "you", 1800), "p", "/t"),
        ),
        (cli(AK, current="other"), None),
        ('{"current": "", "profiles": []}', None),
        (cli({"mode": "AK", "access_key_id": "", "access_key_secret": ""}), None),
    ],
)
def test_aliyun_cli(text: str, expected: object) -> None:
    assert aliyun_cli.parse(text, {}, "f") == expected


def test_the_profile_may_be_chosen_or_the_file_turned_off() -> None:
    text = cli({"mode": "EcsRamRole"}, AK | {"name": "q"})
    assert aliyun_cli.parse(text, {"ALIBABA_CLOUD_PROFILE": "q"}, "f") == KEYS
    off = {"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true"}
    assert aliyun_cli.parse(text, off, "f") is None
    with pytest.raises(SettingsError, match="no profile 'z'"):
        aliyun_cli.parse(text, {"ALIBABA_CLOUD_PROFILE": "z"}, "f")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a configuration"),
        ("[]", "not a configuration"),
        ('{"profiles": [1]}', "not a configuration"),
        (cli({"mode": "Telepathy"}), "'Telepathy' is not supported"),
        (cli(AK | {"mode": "RamRoleArn"}), "ram_role_arn is missing"),
        (cli(AK | ARN | {"mode": "RamRoleArn", "expired_seconds": "x"}), "expired_seconds"),
        (cli(AK | ARN | {"mode": "RamRoleArn", "expired_seconds": "9" * 5000}), "expired_seconds"),
        (cli({"mode": "OIDC"}), "oidc_provider_arn"),
        (cli({"mode": "External"}), "process_command"),
        (cli({"mode": "External", "process_command": "'"}), "process_command"),
        (cli({"mode": "CloudSSO"}), "sign in"),
        (cli({"mode": "AK", "access_key_id": "ak"}), "access key secret is missing"),
        (cli(ARN | {"mode": "ChainableRamRoleArn", "source_profile": "p"}), "leads back"),
        (cli(ARN | {"mode": "ChainableRamRoleArn", "source_profile": "z"}), "no such profile"),
    ],
)
def test_a_profile_that_makes_no_sense(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        aliyun_cli.parse(text, {}, "f")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[default]\ntype=access_key\naccess_key_id=ak\naccess_key_secret=sk\n", KEYS),
        (
            "[default]\ntype=sts\naccess_key_id=ak\naccess_key_secret=sk\nsecurity_token=t\n",
            Keys(Credentials("ak", "sk", "t")),
        ),
        ("[default]\ntype=ecs_ram_role\nrole_name=r\n", EcsRole("r")),
        (
            "[default]\ntype=ram_role_arn\naccess_key_id=ak\naccess_key_secret=sk\nrole_arn=arn\n"
            "role_session_name=me\n",
            RamRole(Role("arn", STS_URL, "me"), KEYS),
        ),
        (
            "[default]\ntype=oidc_role_arn\nrole_arn=arn\noidc_provider_arn=p\n"
            "oidc_token_file_path=/t\n",
            OidcRole(Role("arn", STS_URL), "p", "/t"),
        ),
        ("[default]\nenable=false\ntype=access_key\n", None),
        ("[other]\ntype=access_key\n", None),
    ],
)
def test_shared_file(text: str, expected: object) -> None:
    assert shared_file.parse(text, {}, "f") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default]\ntype=rsa_key_pair\n", "'rsa_key_pair' is not supported"),
        ("[default]\ntype=access_key\n", "access_key_id and access_key_secret are missing"),
        ("[default]\ntype=oidc_role_arn\n", "oidc_provider_arn"),
    ],
)
def test_a_shared_file_that_makes_no_sense(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        shared_file.parse(text, {}, "f")


@example("0\n\r0")
@given(st.text(max_size=200))
def test_no_text_is_too_odd_and_no_error_repeats_it(text: str) -> None:
    secret = "VERYSECRET"
    for broken in (text, f"{secret}{text}", f"[x]\n{text}\n={secret}"):
        for parse in (ossutil.parse, shared_file.parse, aliyun_cli.parse):
            said = ""
            try:
                parse(broken, {}, "f")
            except SettingsError as error:
                said = str(error)
            assert secret not in said


def test_the_line_of_an_error_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^f, line 1: "):
        ini.parse("no section\n", "f")
