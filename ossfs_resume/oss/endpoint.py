"""Where a bucket lives: from what a user types to hosts, paths and the signature's region.

Rules of https://www.alibabacloud.com/help/en/oss/user-guide/regions-and-endpoints, and, for what
the documentation leaves open, of the official SDKs: a missing scheme means https, an IP literal is
addressed by path, everything else by a host name that starts with the bucket.

What was given may be completed by what ossutil was configured with (`complete`): somebody for whom
ossutil works need not say again where the bucket is. But what was given has the word: a region is
not combined with the endpoint of another one, and an endpoint that tells its region keeps it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.encoding import percent_encode

DEFAULT_PORTS = {"http": 80, "https": 443}

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]*")
_WANTED = "give only [http[s]://]HOST[:PORT]; bucket and prefix belong in oss://BUCKET/PREFIX"

# The first pattern that matches a host decides. Its group is the region; none means that the
# host serves several regions. `oss-internal` and `oss-accelerate` would match the general rule.
_REGION_OF_HOST: tuple[tuple[re.Pattern[str], str | None, str], ...] = (
    (re.compile(r"oss(-internal)?\.aliyuncs\.com"), "cn-hangzhou", "oss"),
    (re.compile(r"oss-accelerate(-overseas)?\.aliyuncs\.com"), "", "oss"),
    (
        re.compile(r"(?P<region>cb-[^.]+)\.[^.]+\.oss-cloudbox(-control)?\.aliyuncs\.com"),
        None,
        "oss-cloudbox",
    ),
    (re.compile(r"oss-(?P<region>[a-z0-9-]+?)(-internal)?\.aliyuncs\.com"), None, "oss"),
    (re.compile(r"(?P<region>[a-z0-9-]+?)(-internal)?\.oss\.aliyuncs\.com"), None, "oss"),
)


class Addressing(StrEnum):
    """How a request names its bucket. ``AUTO`` is a wish only, never part of an ``Endpoint``."""

    AUTO = "auto"
    VIRTUAL = "virtual"
    PATH = "path"
    CNAME = "cname"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One bucket at one endpoint. ``host`` is without bucket and brackets; ``region`` and
    ``product`` are those of the signature scope, ``region`` empty if nothing needs it."""

    scheme: str
    host: str
    port: int
    style: Addressing
    region: str
    product: str
    bucket: str

    @property
    def request_host(self) -> str:
        """The host that requests go to, without brackets."""
        return f"{self.bucket}.{self.host}" if self.style is Addressing.VIRTUAL else self.host

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's default, port that requests go to."""
        host = self.request_host
        host = f"[{host}]" if ":" in host else host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """``scheme://authority`` without a path."""
        return f"{self.scheme}://{self.authority}"

    @property
    def hint(self) -> str:
        """What else may be wrong if nobody is found there, after a remedy; empty if nothing."""
        is_doubtful = self.style is Addressing.VIRTUAL and not _is_of_oss(self.host)
        return "; for a custom domain give --addressing cname" if is_doubtful else ""

    @property
    def bucket_path(self) -> str:
        """Path of an operation on the bucket itself."""
        return f"/{self.bucket}/" if self.style is Addressing.PATH else "/"

    def object_path(self, key: str) -> str:
        """Path of an operation on ``key``, with ``/`` inside the key sent as ``%2F``.

        HTTP libraries, proxies and CDN nodes merge ``//`` and resolve ``.`` and ``..``, which
        would ask for another object than the one that was signed. With ``%2F`` a key is one
        path segment and nothing is left to resolve; oss2 has always sent keys so. The transport
        hands the path on as it stands. The signature covers the plain key.
        """
        encoded = percent_encode(key)
        if encoded in (".", ".."):
            encoded = encoded.replace(".", "%2E")
        return self.bucket_path + encoded

    def resource(self, key: str = "") -> str:
        """What the signature names, not encoded: the bucket is in it whatever the style."""
        return f"/{self.bucket}/{key}"


def parse_endpoint(
    bucket: str,
    endpoint: str = "",
    region: str = "",
    addressing: str = Addressing.AUTO,
    *,
    region_required: bool = True,
) -> Endpoint:
    """The endpoint that the options of a user mean. A region that is given wins over a derived one.

    ``region_required``: V4 signatures need a region, V1 and anonymous requests do not.
    Raises SettingsError, one line, naming the option that is wrong and the remedy.
    """
    _check_bucket(bucket)
    region = clean_region(region)
    scheme, host, port = _split(endpoint or _public_endpoint(region))
    host = _without_bucket(host, bucket)
    style = _style(addressing, host)
    derived, product = _derive_region(host)
    region = region or derived
    if region_required and not region:
        raise SettingsError(
            f"the region cannot be derived from the endpoint {host}: give --region NAME, "
            "for example cn-hangzhou (and --addressing cname if it is a custom domain)"
        )
    return Endpoint(scheme, host, port, style, region, product, bucket)


def cache_identity(endpoint: Endpoint) -> str:
    """Name of the bucket across all its endpoints, usable as the name of a directory.

    Bucket names are unique within the public cloud, so its public, internal, accelerated and
    custom hosts are one origin. Cloud boxes and foreign hosts stand each for itself.
    """
    if endpoint.product != "oss":
        cloud = f"{endpoint.product}+{endpoint.region}"
    elif _is_public_cloud(endpoint):
        cloud = "aliyuncs"
    else:
        cloud = f"{quote(endpoint.host, safe='')}+{endpoint.port}"
    return f"{cloud}+{endpoint.bucket}"


def _is_public_cloud(endpoint: Endpoint) -> bool:
    if endpoint.host.endswith(".aliyuncs.com"):
        return True
    custom_domain = endpoint.style is Addressing.CNAME and endpoint.region != ""
    return custom_domain and not _is_numeric_or_local(endpoint.host)


def _check_bucket(bucket: str) -> None:
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(
            f"{bucket!r} is not a bucket name: 3 to 63 lower-case letters, digits and '-', "
            "neither first nor last a '-'"
        )


def clean_region(region: str) -> str:
    """The name that signatures use. Raises SettingsError."""
    # The console and GetBucketLocation show regions with this prefix; signatures are without it.
    cleaned = region.strip().lower().removeprefix("oss-")
    if cleaned and not _REGION.fullmatch(cleaned):
        raise SettingsError(f"--region {region!r} is not a region: give a name like cn-hangzhou")
    return cleaned


def _public_endpoint(region: str) -> str:
    if not region:
        raise SettingsError("neither --endpoint nor --region is set: give one of them")
    return f"https://oss-{region}.aliyuncs.com"


def _split(endpoint: str) -> tuple[str, str, int]:
    text = endpoint.strip()
    if "@" in text:  # whatever else is wrong: what stands before it is not to be repeated
        raise SettingsError(f"--endpoint names a user or a password: {_WANTED}")
    if "://" not in text:
        text = f"https://[{text}]" if _is_ipv6(text) else f"https://{text}"
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError as error:
        raise SettingsError(f"--endpoint {endpoint!r} is not an address: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise SettingsError(f"--endpoint {endpoint!r}: the scheme must be http or https")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(f"--endpoint {endpoint!r}: {_WANTED}")
    if not (_is_ipv6(host) or _HOST.fullmatch(host)):
        raise SettingsError(f"--endpoint {endpoint!r} names no valid host")
    return parts.scheme, host, port or DEFAULT_PORTS[parts.scheme]


def _without_bucket(host: str, bucket: str) -> str:
    """Users paste the address of their bucket as the console shows it."""
    first, _, rest = host.partition(".")
    if not _is_of_oss(rest):
        return host
    if first != bucket and not _is_of_oss(host):
        raise SettingsError(
            f"--endpoint names the bucket {first!r}, the source names {bucket!r}: give {rest}"
        )
    return rest if first == bucket else host


def _is_of_oss(host: str) -> bool:
    return any(pattern.fullmatch(host) for pattern, _, _ in _REGION_OF_HOST)


def _derive_region(host: str) -> tuple[str, str]:
    for pattern, region, product in _REGION_OF_HOST:
        if match := pattern.fullmatch(host):
            return match["region"] if region is None else region, product
    return "", "oss"


def _style(addressing: str, host: str) -> Addressing:
    try:
        style = Addressing(addressing)
    except ValueError:
        choices = ", ".join(Addressing)
        raise SettingsError(f"--addressing {addressing!r} is not one of {choices}") from None
    if style is Addressing.AUTO:
        return Addressing.PATH if _is_numeric_or_local(host) else Addressing.VIRTUAL
    if style is Addressing.CNAME and _is_of_oss(host):
        return Addressing.VIRTUAL  # bound to no bucket; its name may stand before any of these
    if style is Addressing.VIRTUAL and _is_ip(host):
        raise SettingsError(
            f"--addressing virtual cannot put the bucket before the IP address {host}: use path"
        )
    return style


def _is_numeric_or_local(host: str) -> bool:
    return host == "localhost" or _is_ip(host)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_ipv6(host: str) -> bool:
    return ":" in host and _is_ip(host)


@dataclass(frozen=True, slots=True)
class Location:
    """Text as a user wrote it, empty for what is not known; ``where`` names the file that some of
    it stood in."""

    endpoint: str = ""
    region: str = ""
    addressing: str = Addressing.AUTO
    where: str = ""

    def blamed(self, error: SettingsError) -> SettingsError:
        """The error with the file to be corrected, if it is not an option."""
        return SettingsError(f"{self.where}: {error}") if self.where else error


def complete(bucket: str, given: Location, find: Callable[[], Location]) -> Location:
    """``given`` with what it lacks; ``find`` reads ossutil's file and is called if need be.

    Raises SettingsError.
    """
    if given.endpoint:
        if given.region or _region_of(bucket, given):
            return given
        found = find()
        return replace(given, region=found.region, where=found.where if found.region else "")
    found = find()
    if not found.endpoint:
        return given if given.region else replace(given, region=found.region, where=found.where)
    if given.region and _region_of(bucket, found) not in ("", clean_region(given.region)):
        return given
    addressing = found.addressing if given.addressing == Addressing.AUTO else given.addressing
    return replace(found, region=given.region or found.region, addressing=addressing)


def _region_of(bucket: str, place: Location) -> str:
    """The region that the endpoint tells by itself."""
    try:
        return parse_endpoint(bucket, place.endpoint, region_required=False).region
    except SettingsError as error:
        raise place.blamed(error) from None
