"""Access keys and more from environment variables."""

import pytest

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials import StaticCredentials, environment
from ossfs_resume.oss.credentials.recipes import EcsRole, Keys, OidcRole, Role, Uri
from ossfs_resume.oss.models import Credentials

OSS = {"OSS_ACCESS_KEY_ID": "a", "OSS_ACCESS_KEY_SECRET": "b"}
FAMILY = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "c", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "d"}
OIDC = {
    "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/r",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/p",
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/var/token",
}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        (OSS, Credentials("a", "b")),
        (OSS | {"OSS_SESSION_TOKEN": "t"}, Credentials("a", "b", "t")),
        (OSS | {"OSS_SESSION_TOKEN": " "}, Credentials("a", "b")),
        (OSS | {"OSS_ACCESS_KEY_ID": " a\n"}, Credentials("a", "b")),
        ({"OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": " "}, None),
    ],
)
def test_oss_variables(variables: dict[str, str], expected: Credentials | None) -> None:
    assert environment.oss_keys(variables) == (None if expected is None else Keys(expected))


def test_the_variables_of_the_whole_family() -> None:
    found = environment.alibaba_cloud_keys(FAMILY | {"ALIBABA_CLOUD_SECURITY_TOKEN": "t"})
    assert found == Keys(Credentials("c", "d", "t"))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OSS_ACCESS_KEY_ID": "a"}, "OSS_ACCESS_KEY_SECRET is not"),
        ({"OSS_ACCESS_KEY_SECRET": "a"}, "OSS_ACCESS_KEY_ID is not"),
        (OSS | {"OSS_SESSION_TOKEN": "VERY\nSECRET"}, "the session token holds a character"),
        (OSS | {"OSS_ACCESS_KEY_ID": "a # mine"}, "the access key id holds a character"),
        (OSS | {"OSS_ACCESS_KEY_SECRET": "VERYSECRÉT"}, "the access key secret holds a character"),
    ],
)
def test_what_is_no_key_is_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        environment.oss_keys(variables)
    assert "VERY" not in str(caught.value)


def test_a_service_account() -> None:
    role = Role("acs:ram::1:role/r", "https://sts-vpc.cn-beijing.aliyuncs.com", "me")
    more = {
        "ALIBABA_CLOUD_ROLE_SESSION_NAME": "me",
        "ALIBABA_CLOUD_STS_REGION": "cn-beijing",
        "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true",
    }
    expected = OidcRole(role, "acs:ram::1:oidc-provider/p", "/var/token")
    assert environment.oidc(OIDC | more) == expected
    plain = environment.oidc(OIDC)
    assert plain is not None
    assert plain.role.sts_url == "https://sts.aliyuncs.com"


@pytest.mark.parametrize("missing", OIDC)
def test_an_incomplete_service_account_is_none(missing: str) -> None:
    assert environment.oidc({n: v for n, v in OIDC.items() if n != missing}) is None


def test_the_role_of_an_instance() -> None:
    assert environment.ecs({}) == EcsRole()
    assert environment.ecs({"ALIBABA_CLOUD_ECS_METADATA": "r"}) == EcsRole("r")
    assert environment.ecs({"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}) is None
    assert environment.ecs({"ALIBABA_CLOUD_IMDSV1_DISABLED": "TRUE"}) == EcsRole(
        plain_allowed=False
    )


def test_a_server_that_gives_keys() -> None:
    assert environment.uri({}) is None
    url = "http://127.0.0.1:1/key?x=secret"
    found = environment.uri({"ALIBABA_CLOUD_CREDENTIALS_URI": url})
    assert found == Uri(url)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/secret",
        "http://",
        "http:///secret",
        "http://[secret",
        "http://host:secret/",
        "http://host:99999/secret",
        "http://a..b/secret",
        "http://host/sec ret",
        "http://host/sécret",
    ],
)
def test_addresses_that_are_none_are_named_and_not_repeated(url: str) -> None:
    ask = {
        "ALIBABA_CLOUD_CREDENTIALS_URI": environment.uri,
        "OSSFS_ECS_METADATA_URL": environment.ecs,
        "OSSFS_STS_ENDPOINT": lambda variables: environment.oidc(OIDC | variables),
    }
    for name, find in ask.items():
        with pytest.raises(SettingsError, match=f"^{name}: not the address") as caught:
            find({name: url})
        assert "secret" not in str(caught.value)


def test_a_region_of_sts_that_is_none() -> None:
    with pytest.raises(SettingsError, match=r"STS region '\.\./x'"):
        environment.oidc(OIDC | {"ALIBABA_CLOUD_STS_REGION": "../x"})


async def test_anonymous_access_has_no_key() -> None:
    assert await StaticCredentials(None).current() is None
