"""Credentials in environment variables, under the names that the official SDKs read."""

from collections.abc import Mapping

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials.recipes import (
    SESSION_NAME,
    EcsRole,
    Keys,
    OidcRole,
    Role,
    Uri,
    ecs_role,
    is_true,
    keys,
    server_url,
    sts_url,
)

Environment = Mapping[str, str]


def oss_keys(environment: Environment) -> Keys | None:
    """``OSS_ACCESS_KEY_ID``, ``OSS_ACCESS_KEY_SECRET``, ``OSS_SESSION_TOKEN``."""
    return _keys(environment, "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN")


def alibaba_cloud_keys(environment: Environment) -> Keys | None:
    """``ALIBABA_CLOUD_ACCESS_KEY_ID``, ``..._SECRET``, ``ALIBABA_CLOUD_SECURITY_TOKEN``."""
    return _keys(
        environment,
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    )


def oidc(environment: Environment) -> OidcRole | None:
    """RAM roles for service accounts (RRSA): a role, a provider and the file of a token."""
    arn, provider, token_file = (
        environment.get(f"ALIBABA_CLOUD_{name}", "").strip()
        for name in ("ROLE_ARN", "OIDC_PROVIDER_ARN", "OIDC_TOKEN_FILE")
    )
    if not (arn and provider and token_file):
        return None
    session = environment.get("ALIBABA_CLOUD_ROLE_SESSION_NAME", "").strip() or SESSION_NAME
    return OidcRole(Role(arn, sts_url(environment), session), provider, token_file)


def ecs(environment: Environment) -> EcsRole | None:
    """The role of this ECS instance, unless that is turned off."""
    if is_true(environment.get("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "")):
        return None
    return ecs_role(environment, environment.get("ALIBABA_CLOUD_ECS_METADATA", ""))


def uri(environment: Environment) -> Uri | None:
    """``ALIBABA_CLOUD_CREDENTIALS_URI``. Raises SettingsError."""
    url = environment.get("ALIBABA_CLOUD_CREDENTIALS_URI", "").strip()
    return Uri(server_url(url, "ALIBABA_CLOUD_CREDENTIALS_URI")) if url else None


def _keys(environment: Environment, id_name: str, secret_name: str, token: str) -> Keys | None:
    key_id, secret = (environment.get(name, "").strip() for name in (id_name, secret_name))
    if bool(key_id) != bool(secret):
        given, missing = (id_name, secret_name) if key_id else (secret_name, id_name)
        raise SettingsError(f"{given} is set but {missing} is not: set both or none")
    return keys(id_name, key_id, secret, environment.get(token, ""))
