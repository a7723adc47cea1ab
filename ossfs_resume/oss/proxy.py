"""Whether a request goes through a proxy, by the rules that curl and Go's programs follow.

``https_proxy`` or ``http_proxy`` by the scheme of the origin, else ``all_proxy``, each also in
upper case; ``no_proxy`` lists exceptions: domains with all below them, addresses, networks as
``10.0.0.0/8``, each optionally with a port, and ``*``. This machine itself is always one.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from ossfs_resume.errors import SettingsError

NONE = "none"

WANTS_A_USER = "the proxy wants a user: set https_proxy to http://USER:PASSWORD@HOST"
"""The remedy when a proxy answers 407, to a request or to the wish for a tunnel."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, itself reached by TLS if it ``is_secure``; its password never shows."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)
    """Value of Proxy-Authorization, empty without a user."""
    is_secure: bool = False

    def __str__(self) -> str:
        scheme = "https://" if self.is_secure else ""
        return f"{scheme}{_bracketed(self.host)}:{self.port}"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the proxy itself wants to see."""
        value = self.authorization.encode("ascii")
        return [(b"proxy-authorization", value)] if value else []

    def connect_request(self, host: str, port: int) -> bytes:
        """The request for a tunnel to an origin."""
        name = f"{_bracketed(host)}:{port}".encode("ascii")
        lines = [b"CONNECT " + name + b" HTTP/1.1", b"host: " + name]
        lines += [field + b": " + value for field, value in self.headers()]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def choose(
    given: str, environment: Mapping[str, str], scheme: str, host: str, port: int
) -> Proxy | None:
    """The proxy for an origin. ``given`` is the option: empty for the environment, or ``none``.

    Raises SettingsError.
    """
    if given:
        return None if given == NONE else _given(given)
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if text := environment.get(variable, "").strip():
                excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
                return None if is_excepted(host, port, excepted) else parse(text, variable)
    return None


def parse(text: str, where: str) -> Proxy:
    """A proxy from ``[http[s]://][user:password@]host:port``. Raises SettingsError."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise SettingsError(f"{where} is not the address of a proxy: http://HOST:PORT is wanted")
    if parts.scheme not in _PORTS:
        raise SettingsError(
            f"{where}: {parts.scheme} proxies are not supported: give an http or https one"
        )
    authorization = ""
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(user.encode()).decode("ascii")
    is_secure = parts.scheme == "https"
    return Proxy(host, port or _PORTS[parts.scheme], authorization, is_secure)


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether ``no_proxy`` (or common sense) has this origin asked directly."""
    if host == "localhost" or (_is_address(host) and ip_address(host).is_loopback):
        return True
    return any(_matches(host, port, each.strip().lower()) for each in no_proxy.split(","))


def _matches(host: str, port: int, pattern: str) -> bool:
    if pattern == "*":
        return True
    if "/" in pattern:
        return _is_address(host) and _is_in(host, pattern)
    if not _is_address(pattern):
        pattern, _, wanted = (
            pattern.partition(":") if pattern.count(":") == 1 else (pattern, "", "")
        )
        if wanted and wanted != str(port):
            return False
    domain = pattern.strip("[]").removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _given(text: str) -> Proxy:
    proxy = parse(text, "--proxy")
    if proxy.authorization:
        raise SettingsError(
            "--proxy: command lines are visible to everybody: "
            "give a proxy with a password in the environment, as https_proxy"
        )
    return proxy


def _is_in(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
