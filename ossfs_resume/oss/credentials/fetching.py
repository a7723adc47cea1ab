"""Does what a recipe says: asks servers and programs for a key, each within a deadline."""

import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from urllib.parse import urlsplit

import trio

from ossfs_resume.errors import (
    AccessDenied,
    BadAnswer,
    OriginError,
    OriginTimeout,
    TransientError,
    Unreachable,
)
from ossfs_resume.oss.credentials import sts
from ossfs_resume.oss.credentials.files import working_directory
from ossfs_resume.oss.credentials.recipes import (
    EcsRole,
    Keys,
    OidcRole,
    Process,
    RamRole,
    Recipe,
    Uri,
)
from ossfs_resume.oss.credentials.sts import Issued, parse_issued, refusal
from ossfs_resume.oss.endpoint import DEFAULT_PORTS
from ossfs_resume.oss.headers import parse_http_date
from ossfs_resume.oss.proxy import Proxy, choose
from ossfs_resume.oss.request import USER_AGENT, Request
from ossfs_resume.oss.transport import Transport

METADATA_S = 1.0
"""For the metadata server, which is in the same machine or nowhere."""

SERVER_S = 10.0
SESSION_S = 21_600
WRONG_CLOCK_S = 30.0
MAX_BYTES = 1 << 16

_METADATA_PATH = "/latest/meta-data/ram/security-credentials/"
_HEADERS = {"accept-encoding": "identity", "user-agent": USER_AGENT}


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer; ``now`` is the Unix time by the server's own clock, about."""

    body: bytes
    now: float


@dataclass(frozen=True, slots=True)
class Fetcher:
    """``proxy`` and ``environment`` as for `proxy.choose`; ``clock`` gives Unix seconds; relative
    paths are meant from ``directory``, whatever becomes the working directory later."""

    context: ssl.SSLContext
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str = ""
    clock: Callable[[], float] = time.time
    directory: Path = field(default_factory=working_directory)

    async def issue(self, recipe: Recipe) -> Issued:
        """A key by this recipe. Raises OriginError; its kind says whether to try again."""
        match recipe:
            case Keys(credentials):
                return Issued(credentials)
            case RamRole(role, source):
                key = (await self.issue(source)).credentials
                wanted = sts.assume_role(role, key, self.clock(), secrets.token_hex(16))
                return await self._sts(role.sts_url, wanted)
            case OidcRole(role, _, token_file):
                token = await _token(self.directory / token_file)
                wanted = sts.assume_role_with_oidc(recipe, token, self.clock())
                return await self._sts(role.sts_url, wanted)
            case EcsRole():
                return await self._ecs(recipe)
            case Uri(url):
                return await self._uri(url)
            case Process():
                output = await _output(recipe, self.directory)
                return parse_issued(output, self.clock(), "the credentials process")

    async def _sts(self, url: str, wanted: Request) -> Issued:
        reply = await self._ask(url, wanted, "STS", SERVER_S, self._proxy(url))
        return parse_issued(reply.body, reply.now, "STS")

    async def _uri(self, url: str) -> Issued:
        parts = urlsplit(url)
        # The query is part of the path here: it must go out as it was given.
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        wanted = Request("GET", path, "", headers=dict(_HEADERS))
        where = "the credentials URI"
        base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        reply = await self._ask(base, wanted, where, SERVER_S, self._proxy(url))
        return parse_issued(reply.body, reply.now, where)

    async def _ecs(self, role: EcsRole) -> Issued:
        where = "the ECS metadata server"
        headers = _HEADERS | await self._session(role, where)

        async def get(name: str) -> Reply:
            wanted = Request("GET", _METADATA_PATH + name, "", headers=dict(headers))
            return await self._ask(role.url, wanted, where, METADATA_S, None)

        name = role.name or (await get("")).body.decode("utf-8", "replace").strip()
        if not name or not name.replace("-", "").replace(".", "").replace("_", "").isalnum():
            raise AccessDenied(f"{where} names no RAM role: attach one to the instance")
        reply = await get(name)
        return parse_issued(reply.body, reply.now, where)

    async def _session(self, role: EcsRole, where: str) -> dict[str, str]:
        """Headers of the hardened mode; none where no session comes, for whatever reason: that
        answer may not reach a container that those of the plain mode do reach."""
        headers = _HEADERS | {
            "x-aliyun-ecs-metadata-token-ttl-seconds": str(SESSION_S),
            "content-length": "0",
        }
        wanted = Request("PUT", "/latest/api/token", "", headers=headers)
        try:
            reply = await self._ask(role.url, wanted, where, METADATA_S, None)
        except OriginError:
            if not role.plain_allowed:
                raise
            return {}
        return {"x-aliyun-ecs-metadata-token": reply.body.decode("latin-1").strip()}

    async def _ask(
        self, url: str, wanted: Request, where: str, seconds: float, proxy: Proxy | None
    ) -> Reply:
        """One request, its answer whole, within so many seconds."""
        transport = Transport(
            url, connections=1, silence_s=seconds, context=self.context, proxy=proxy
        )
        try:
            with trio.fail_after(seconds):
                async with transport.send(wanted) as answer:
                    body = await answer.read(MAX_BYTES)
        except trio.TooSlowError:
            raise OriginTimeout(f"{where}: no answer within {seconds:g} s") from None
        except TransientError as error:
            raise type(error)(f"{where}: {error}") from error
        finally:
            await transport.aclose()
        if answer.status != 200:
            raise refusal(answer.status, body, where)
        return Reply(body, self._now(answer.headers.get("date", "")))

    def _now(self, date: str) -> float:
        """This machine's time, which is finer, unless the server's shows that it is wrong."""
        now = self.clock()
        with suppress(ValueError):
            told = parse_http_date(date)
            return now if abs(told - now) < WRONG_CLOCK_S else told + 1.0
        return now

    def _proxy(self, url: str) -> Proxy | None:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return choose(self.proxy, self.environment, parts.scheme, parts.hostname or "", port)


async def _token(path: Path) -> str:
    try:
        text = await trio.Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise AccessDenied(f"the OIDC token file {path}: {reason}") from None
    return text.strip()


async def _output(process: Process, directory: Path) -> bytes:
    what = "the credentials process"
    try:
        with trio.fail_after(process.timeout_s):
            result = await trio.run_process(
                process.arguments,
                stdin=DEVNULL,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd=directory if await trio.Path(directory).is_dir() else "/",
            )
    except trio.TooSlowError:
        raise OriginTimeout(f"{what} took longer than {process.timeout_s:g} s") from None
    except OSError as error:
        raise Unreachable(f"{what} cannot be started: {error.strerror}") from None
    if result.returncode != 0:
        raise BadAnswer(f"{what} ended with status {result.returncode}; run it by hand to see why")
    return result.stdout
