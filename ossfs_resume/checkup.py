"""What works and what does not between this machine and a bucket, step by step.

A step that builds on one that failed is skipped. None waits longer than `STEP_S` but that for the
credentials, whose sources have deadlines of their own.

A step returns what it found, for those after it as well. It raises an error whose text says what is
wrong and what to do, or says that it is limited, or has nothing to do. The first ones ask this
machine alone: may it mount, where does it keep parts?
"""

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from pathlib import Path

import trio

from ossfs_resume.cache import filesystem
from ossfs_resume.cache.eviction import Usage, reserved_bytes
from ossfs_resume.config import Options, Source
from ossfs_resume.errors import (
    CacheError,
    MountError,
    NotFound,
    NotPermitted,
    OssfsError,
    TlsFailed,
    Unreachable,
)
from ossfs_resume.fuse import preflight
from ossfs_resume.origin import OriginSettings, origin_credentials
from ossfs_resume.oss import network
from ossfs_resume.oss.client import OssClient
from ossfs_resume.oss.error_text import explain_tls, reason_of
from ossfs_resume.oss.headers import parse_http_date
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.network import Link
from ossfs_resume.oss.paging import pages
from ossfs_resume.oss.range_reader import MemorySink
from ossfs_resume.oss.request import USER_AGENT, Request
from ossfs_resume.oss.transport import Transport
from ossfs_resume.quantities import format_size
from ossfs_resume.startup import (
    ANOTHER_DIRECTORY,
    IsAnObject,
    cache_limits,
    check_source,
    not_public,
)
from ossfs_resume.wording import counted, quoted

STEP_S = 5.0
"""A step fails after this time, unless its parts have deadlines of their own."""

ANSWER_S = 4.5
"""A client gives up before its step does, and so can say why."""

SKEW_ACCEPTED_S = 900.0
SKEW_NOTICED_S = 60.0
SAMPLE_BYTES = 65_536


class Limited(Exception):
    """It works, but with the limit that the text tells."""


class NothingToDo(Exception):
    """There is nothing that this step could try."""


@dataclass(slots=True)
class Findings:
    """What steps leave for those after them."""

    source: Source
    options: Options
    settings: OriginSettings
    resources: AsyncExitStack
    stream: Link | None = None
    client: OssClient | None = None
    date: str = ""
    key: str = ""
    meta: ObjectMeta | None = None
    crc64: int | None = None
    causes: dict[str, str] = field(default_factory=dict)
    """Steps that failed or could not run, each with the one that is to blame."""

    @property
    def peer(self) -> tuple[str, int]:
        """Host and port that connections go to: the endpoint's or the proxy's."""
        endpoint, proxy = self.settings.endpoint, self.settings.client.proxy
        return (proxy.host, proxy.port) if proxy else (endpoint.request_host, endpoint.port)


async def ask_name_server(findings: Findings) -> str:
    host, port = findings.peer
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(
            f"{host}: {error.strerror}; check --endpoint, --region and this machine's name server"
            + findings.settings.endpoint.hint
        ) from error
    addresses = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    located_by = findings.settings.located_by
    return f"{host} is {addresses}" + (f"; by {located_by}" if located_by else "")


async def connect(findings: Findings) -> str:
    host, port = findings.peer
    endpoint, proxy = findings.settings.endpoint, findings.settings.client.proxy
    started = trio.current_time()
    try:
        if proxy:
            origin = (endpoint.request_host, endpoint.port)
            tunnel_to = origin if endpoint.scheme == "https" else None
            context = findings.settings.context
            findings.stream = await network.open_through(proxy, context, tunnel_to)
        else:
            findings.stream = await network.open_tcp(host, port)
    except (OSError, trio.BrokenResourceError) as error:
        text = f"{host}:{port}: {reason_of(error)}; check --endpoint, firewall and proxy"
        raise Unreachable(text) from error
    findings.resources.push_async_callback(trio.aclose_forcefully, findings.stream)
    through = f" through the proxy {proxy}" if proxy else ""
    elapsed_ms = (trio.current_time() - started) * 1000
    return f"{endpoint.authority}{through} answers in {elapsed_ms:.0f} ms"


async def start_tls(findings: Findings) -> str:
    endpoint = findings.settings.endpoint
    if endpoint.scheme == "http":
        raise Limited("not used: everybody on the way can read the data; prefer https://")
    assert findings.stream is not None
    try:
        secure = await network.start_tls(
            findings.stream, findings.settings.context, endpoint.request_host
        )
    except trio.BrokenResourceError as error:
        text = explain_tls(error) or "TLS: the other side ended the connection"
        raise TlsFailed(text) from error
    version, cipher = secure.version(), secure.cipher()
    return f"{version}, {cipher[0] if cipher else 'no cipher'}, the certificate is trusted"


async def ask_anything(findings: Findings) -> str:
    """Any answer will do, also a refusal of a request that nobody signed; it tells the time."""
    settings = findings.settings
    transport = Transport(
        settings.endpoint.base_url,
        connections=1,
        silence_s=STEP_S,
        context=settings.context,
        proxy=settings.client.proxy,
    )
    findings.resources.push_async_callback(transport.aclose)
    headers = {"accept-encoding": "identity", "user-agent": USER_AGENT}
    wanted = Request("HEAD", settings.endpoint.bucket_path, "", headers=headers)
    async with transport.send(wanted) as answer:
        findings.date = answer.headers.get("date", "")
        return f"{answer.headers.get('server', 'the server')} answers: status {answer.status}"


async def compare_clocks(findings: Findings) -> str:
    try:
        ahead_s = time.time() - parse_http_date(findings.date)
    except ValueError:
        raise Limited("the server does not tell its time") from None
    direction = "ahead" if ahead_s > 0 else "behind"
    text = f"this machine is {abs(ahead_s):.0f} s {direction}"
    if abs(ahead_s) > SKEW_ACCEPTED_S:
        raise Limited(f"{text}; OSS accepts 900 s: signatures are corrected, set the clock")
    if abs(ahead_s) > SKEW_NOTICED_S:
        raise Limited(f"{text}; set the clock")
    return "this machine's clock is right"


async def find_credentials(findings: Findings) -> str:
    provider = await origin_credentials(findings.options, findings.settings)
    key = await provider.current()
    client = findings.settings.open(provider, timeout_s=ANSWER_S)
    findings.client = await findings.resources.enter_async_context(client)
    if key is None:
        return "anonymous: requests are not signed"
    kind = "temporary key" if key.security_token else "key"
    version = findings.settings.client.signature
    return f"{kind} {key.access_key_id} from {provider.origin}, signature {version}"


async def list_objects(findings: Findings) -> str:
    assert findings.client is not None
    prefix = findings.source.prefix
    findings.key = findings.source.key
    try:
        page = await _first_objects(findings.client, prefix)
        if not page.objects:
            empty = findings.options.allow_empty
            await check_source(findings.client, findings.source, may_be_empty=empty)
    except IsAnObject as error:
        raise Limited(str(error)) from error
    except NotPermitted as error:
        if findings.options.is_anonymous:
            raise MountError(not_public(error)) from error
        raise Limited(
            f"{error}; without it ls says 'Permission denied', but known paths open"
        ) from error
    readable = [o for o in page.objects if o.size and o.storage_class.lower() in ("", "standard")]
    candidates = readable or [each for each in page.objects if each.size]
    if candidates:
        findings.key = candidates[0].key
    more = " or more" if page.next_token else ""
    return f"{counted(len(page.objects), 'object', more)} below {quoted(str(findings.source))}"


async def _first_objects(client: OssClient, prefix: str) -> ListPage:
    """The first page with an object on it, else the last: pages may be empty."""
    async with aclosing(
        pages(lambda token: client.list_page(prefix, token=token, delimiter=""))
    ) as listing:
        async for page in listing:
            if page.objects:
                break
    return page


async def head_object(findings: Findings) -> str:
    assert findings.client is not None
    if not findings.key and "list" in findings.causes:
        raise NothingToDo("because of list")
    if not findings.key:
        raise NothingToDo("no object is known to try; name one: check oss://BUCKET/KEY")
    try:
        findings.meta = meta = await findings.client.head(findings.key)
    except NotFound:
        raise NothingToDo(f"there is no object {quoted(findings.key)} to try") from None
    return f"{quoted(meta.key)}: {counted(meta.size, 'byte')}, ETag {meta.etag}"


async def get_range(findings: Findings) -> str:
    assert findings.client is not None
    meta = findings.meta
    if meta is None or not meta.size:
        raise NothingToDo("no object with content is known to try")
    size = min(meta.size, SAMPLE_BYTES)
    started = trio.current_time()
    findings.crc64 = await findings.client.read_range(meta, size, MemorySink(0, size))
    elapsed_ms = (trio.current_time() - started) * 1000
    return f"{size} of {meta.size} bytes in {elapsed_ms:.0f} ms"


async def look_for_checksum(findings: Findings) -> str:
    meta = findings.meta
    if meta is None or not meta.size:
        raise NothingToDo("no object with content is known to try")
    crc64 = meta.crc64 if findings.crc64 is None else findings.crc64
    if crc64 is None:
        raise Limited(
            "x-oss-hash-crc64ecma is missing: downloads cannot be proven whole; "
            "a CDN or proxy may have dropped it"
        )
    return f"CRC-64 {crc64}: downloads are proven whole"


async def open_device(findings: Findings) -> str:
    await trio.to_thread.run_sync(preflight.check_device, abandon_on_cancel=True)
    return "can be opened"


async def look_for_helper(findings: Findings) -> str:
    """Root mounts by itself, and may always let others in."""
    if os.geteuid() == 0:
        return "not needed by root"
    preflight.check_helper()
    if findings.options.allow_other:
        preflight.check_allow_other(preflight.CONFIGURATION)
        return "is there, and users may let others in"
    return "is there"


async def look_at_cache(findings: Findings) -> str:
    return await trio.to_thread.run_sync(_look_at_cache, findings.options, abandon_on_cancel=True)


def _look_at_cache(options: Options) -> str:
    """Nothing is made. Raises CacheError, Limited."""
    directory = options.cache_dir
    existing = nearest(directory)
    filesystem.require_local(directory)
    if filesystem.is_read_only(existing):
        raise Limited(f"the disk of {quoted(directory)} is read-only: only what it has is served")
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        what = "may not be written" if existing == directory else "cannot be made"
        raise CacheError(f"{quoted(directory)} {what}; {ANOTHER_DIRECTORY}")
    space = os.statvfs(existing)
    free, whole = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    kind = filesystem.file_system_type(
        os.path.realpath(existing), Path("/proc/self/mountinfo").read_text(errors="replace")
    )
    text = f"{quoted(directory)} on {kind}, {format_size(free)} free"
    limits = cache_limits(options.cache_size, options.cache_free)
    reserved = reserved_bytes(Usage(0, whole, free, 0, 0), limits)
    if free < reserved + options.part_size:
        raise Limited(
            f"{text}: less than --cache-free keeps; new parts only take the place of old ones"
        )
    return text


def nearest(path: Path) -> Path:
    """The path, or what exists above it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


class Outcome(StrEnum):
    """How a step ended. ``WARNING``: it works, but with a limit that should be known."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the report."""

    name: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A step to be taken, the names of those that it builds on, and how long it may take."""

    name: str
    run: Callable[[Findings], Awaitable[str]]
    needs: tuple[str, ...] = ()
    seconds: float = STEP_S
    remedy: str = "; check --endpoint, firewall and proxy"


PLAN = (
    Planned("/dev/fuse", open_device),
    Planned("fusermount3", look_for_helper),
    Planned("cache", look_at_cache, remedy="; does the disk hang?"),
    Planned("DNS", ask_name_server),
    Planned("TCP", connect, ("DNS",)),
    Planned("TLS", start_tls, ("TCP",)),
    Planned("HTTP", ask_anything, ("TLS",)),
    Planned("clock", compare_clocks, ("HTTP",)),
    Planned("credentials", find_credentials, seconds=inf),
    Planned("list", list_objects, ("HTTP", "credentials")),
    Planned("head", head_object, ("HTTP", "credentials")),
    Planned("ranged get", get_range, ("head",)),
    Planned("CRC header", look_for_checksum, ("ranged get",)),
)


async def check(
    source: Source, options: Options, settings: OriginSettings, report: Callable[[Step], None]
) -> bool:
    """Run all steps, telling ``report`` of each as it ends; True if nothing is wrong."""
    async with AsyncExitStack() as resources:
        findings = Findings(source, options, settings, resources)
        for plan in PLAN:
            step = await _outcome(plan, findings)
            report(Step(step.name, step.outcome, " ".join(step.text.split())))
    return not findings.causes


async def _outcome(plan: Planned, findings: Findings) -> Step:
    for cause in (findings.causes[need] for need in plan.needs if need in findings.causes):
        findings.causes[plan.name] = cause
        return Step(plan.name, Outcome.SKIPPED, f"because of {cause}")
    try:
        with trio.fail_after(plan.seconds):
            return Step(plan.name, Outcome.OK, await plan.run(findings))
    except Limited as limit:
        return Step(plan.name, Outcome.WARNING, str(limit))
    except NothingToDo as reason:
        return Step(plan.name, Outcome.SKIPPED, str(reason))
    except trio.TooSlowError:
        text = f"no answer within {plan.seconds:g} s{plan.remedy}"
    except OssfsError as error:
        text = str(error)
    findings.causes[plan.name] = plan.name
    return Step(plan.name, Outcome.WRONG, text)
