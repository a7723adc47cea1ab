"""``~/.ossutilconfig``, the file of ossutil 1 (``[Credentials]``) and 2 (``[default]``)."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.credentials import ini
from ossfs_resume.oss.credentials.recipes import (
    SESSION_NAME,
    EcsRole,
    RamRole,
    Recipe,
    Role,
    ecs_role,
    keys,
    lifetime,
    server_url,
    sts_url,
)
from ossfs_resume.oss.endpoint import Addressing, Location


def parse(text: str, environment: Mapping[str, str], where: str) -> Recipe | None:
    """What the file says; None if it holds no credentials. Raises SettingsError."""
    sections = ini.parse(text, where)
    if address := _sections(sections).get("akservice", {}).get("ecsak"):
        return _service(server_url(address, f"{where}: ecsAk"), environment)
    return _recipe(_values(sections), environment, where)


def parse_location(text: str, bucket: str, where: str) -> Location:
    """Where the file says that ``bucket`` is. Raises SettingsError.

    A custom domain in ``[Bucket-Cname]`` comes before an entry of ``[Bucket-Endpoint]``, and that
    before the ``endpoint`` for all buckets (oss-protocol section 7).
    """
    values = _values(ini.parse(text, where))
    region = values.get("region", "")
    by_bucket = _sections(ini.parse(text, where, str.strip))  # their names are buckets
    if cname := by_bucket.get("bucket-cname", {}).get(bucket):
        return Location(cname, region, Addressing.CNAME, f"{where}, [Bucket-Cname]")
    if own := by_bucket.get("bucket-endpoint", {}).get(bucket):
        return Location(own, region, where=f"{where}, [Bucket-Endpoint]")
    endpoint = values.get("endpoint") or values.get("host", "")
    return Location(endpoint, region, where=where) if endpoint or region else Location()


def _sections(sections: ini.Sections) -> ini.Sections:
    return {name.lower(): values for name, values in sections.items()}


def _values(sections: ini.Sections) -> Mapping[str, str]:
    named = _sections(sections)
    return named.get("credentials") or named.get("default") or {}


def _recipe(values: Mapping[str, str], environment: Mapping[str, str], where: str) -> Recipe | None:
    mode = values.get("mode", "").lower()
    if mode == "ecsramrole":
        return ecs_role(environment, values.get("ecsrolename", ""))
    key = keys(
        where,
        values.get("accesskeyid") or values.get("accessid", ""),
        values.get("accesskeysecret") or values.get("accesskey", ""),
        "" if mode == "ak" else values.get("ststoken", ""),
    )
    if mode in ("", "ak", "ststoken"):
        return key
    if mode != "ramrolearn":
        raise SettingsError(f"{where}: mode {values['mode']!r} is not supported")
    if key is None or not values.get("ramrolearn"):
        raise SettingsError(f"{where}: mode RamRoleArn needs an access key and a ramRoleArn")
    return RamRole(_role(values, environment, where), key)


def _role(values: Mapping[str, str], environment: Mapping[str, str], where: str) -> Role:
    return Role(
        values["ramrolearn"],
        sts_url(environment, values.get("stsregion", "")),
        values.get("rolesessionname") or SESSION_NAME,
        lifetime(values.get("tokentimeout", ""), f"{where}: tokenTimeOut"),
    )


def _service(address: str, environment: Mapping[str, str]) -> EcsRole:
    """The address of a role's credentials on the metadata server."""
    parts = urlsplit(address)
    role = ecs_role(environment, parts.path.rpartition("/")[2])
    return EcsRole(role.name, f"{parts.scheme}://{parts.netloc}", role.plain_allowed)
