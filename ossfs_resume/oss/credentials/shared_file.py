"""``~/.alibabacloud/credentials``, which the SDKs of all Alibaba Cloud products share."""

from collections.abc import Mapping

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials import ini
from ossfs_resume.oss.credentials.recipes import (
    SESSION_NAME,
    Keys,
    OidcRole,
    RamRole,
    Recipe,
    Role,
    ecs_role,
    keys,
    sts_url,
)


def parse(text: str, environment: Mapping[str, str], where: str) -> Recipe | None:
    """What the section ``ALIBABA_CLOUD_PROFILE`` (else ``default``) says; None if it is not there
    or not enabled. Raises SettingsError."""
    section = environment.get("ALIBABA_CLOUD_PROFILE", "").strip() or "default"
    values = ini.parse(text, where).get(section)
    if not values or values.get("enable", "").lower() == "false":
        return None
    place = f"{where}, [{section}]"
    match values.get("type", "access_key").lower():
        case "access_key":
            return _keys({**values, "securitytoken": ""}, place)
        case "sts":
            return _keys(values, place)
        case "ecs_ram_role":
            return ecs_role(environment, values.get("rolename", ""))
        case "ram_role_arn":
            return RamRole(_role(values, environment, place), _keys(values, place))
        case "oidc_role_arn":
            return _oidc(values, environment, place)
    raise SettingsError(f"{place}: type {values['type']!r} is not supported")


def _keys(values: Mapping[str, str], place: str) -> Keys:
    found = keys(
        place,
        values.get("accesskeyid", ""),
        values.get("accesskeysecret", ""),
        values.get("securitytoken", ""),
    )
    if found is None:
        raise SettingsError(f"{place}: access_key_id and access_key_secret are missing")
    return found


def _role(values: Mapping[str, str], environment: Mapping[str, str], place: str) -> Role:
    if not values.get("rolearn"):
        raise SettingsError(f"{place}: role_arn is missing")
    session = values.get("rolesessionname") or SESSION_NAME
    return Role(values["rolearn"], sts_url(environment), session, policy=values.get("policy", ""))


def _oidc(values: Mapping[str, str], environment: Mapping[str, str], place: str) -> OidcRole:
    provider, token_file = values.get("oidcproviderarn"), values.get("oidctokenfilepath")
    if not provider or not token_file:
        raise SettingsError(f"{place}: oidc_provider_arn or oidc_token_file_path is missing")
    return OidcRole(_role(values, environment, place), provider, token_file)
