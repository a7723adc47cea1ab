"""``~/.aliyun/config.json``, the file of the ``aliyun`` command line."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials.recipes import (
    SESSION_NAME,
    Keys,
    OidcRole,
    Process,
    RamRole,
    Recipe,
    Role,
    ecs_role,
    is_true,
    keys,
    lifetime,
    sts_url,
)

Environment = Mapping[str, str]


def parse(text: str, environment: Environment, where: str) -> Recipe | None:
    """What the chosen profile says: ``ALIBABA_CLOUD_PROFILE``, else the current one.

    None if the file is turned off, empty, or holds no profile. Raises SettingsError.
    """
    if not text.strip() or is_true(environment.get("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "")):
        return None
    try:
        document = json.loads(text)
        profiles = {str(each["name"]): each for each in document.get("profiles") or ()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SettingsError(f"{where}: not a configuration of the aliyun command line") from None
    chosen = environment.get("ALIBABA_CLOUD_PROFILE", "").strip()
    name = chosen or str(document.get("current") or "default")
    if name not in profiles:
        if not chosen:
            return None
        raise SettingsError(f"{where}: there is no profile {name!r}")
    return _Profiles(profiles, environment, where).recipe(name, ())


class _Profiles:
    """Profiles by name; one may build upon another."""

    def __init__(
        self, profiles: Mapping[str, Mapping[str, Any]], environment: Environment, where: str
    ) -> None:
        self._profiles = profiles
        self._environment = environment
        self._where = where

    def recipe(self, name: str, above: tuple[str, ...]) -> Recipe | None:
        profile = self._profiles.get(name)
        place = f"{self._where}, profile {name!r}"
        if profile is None:
            raise SettingsError(f"{place}: there is no such profile")
        if name in above:
            raise SettingsError(f"{place}: source_profile leads back to it")
        text = {key: "" if value is None else str(value) for key, value in profile.items()}
        mode = text.get("mode", "AK")
        match mode.lower():
            case "ecsramrole":
                return ecs_role(self._environment, text.get("ram_role_name", ""))
            case "external":
                return Process(_arguments(text.get("process_command", ""), place))
            case "oidc":
                return self._oidc(text, place)
            case "ramrolearn":
                return RamRole(self._role(text, place), _source(_keys(text, place), place))
            case "chainableramrolearn":
                source = self.recipe(text.get("source_profile", ""), (*above, name))
                return RamRole(self._role(text, place), _source(source, place))
            case "ak":
                return _keys(text | {"sts_token": ""}, place)
            case "ststoken" | "cloudsso" | "oauth":
                # The command line signs in by itself and leaves a key in the profile.
                return _source(_keys(text, place), place)
        raise SettingsError(f"{place}: mode {mode!r} is not supported")

    def _oidc(self, text: Mapping[str, str], place: str) -> OidcRole:
        provider, token_file = text.get("oidc_provider_arn"), text.get("oidc_token_file")
        if not provider or not token_file:
            raise SettingsError(f"{place}: oidc_provider_arn or oidc_token_file is missing")
        role = self._role(text, place, text.get("role_session_name", ""))
        return OidcRole(role, provider, token_file)

    def _role(self, text: Mapping[str, str], place: str, session: str = "") -> Role:
        if not text.get("ram_role_arn"):
            raise SettingsError(f"{place}: ram_role_arn is missing")
        vpc = is_true(text.get("enable_vpc", ""))
        return Role(
            text["ram_role_arn"],
            sts_url(self._environment, text.get("sts_region", ""), vpc=vpc),
            session or text.get("ram_session_name") or SESSION_NAME,
            lifetime(text.get("expired_seconds", ""), f"{place}: expired_seconds"),
            text.get("policy", ""),
            text.get("external_id", ""),
        )


def _keys(text: Mapping[str, str], place: str) -> Keys | None:
    return keys(
        place,
        text.get("access_key_id", ""),
        text.get("access_key_secret", ""),
        text.get("sts_token", ""),
    )


def _source(recipe: Recipe | None, place: str) -> Recipe:
    if recipe is None:
        raise SettingsError(f"{place}: it holds no access key; sign in with the aliyun command")
    return recipe


def _arguments(command: str, place: str) -> tuple[str, ...]:
    try:
        arguments = tuple(shlex.split(command))
    except ValueError:
        arguments = ()
    if not arguments:
        raise SettingsError(f"{place}: process_command is missing or not a command")
    return arguments
