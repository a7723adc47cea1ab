"""The faults in force, what they are counted by, who may sign, and the resource under ``/-/``."""

import asyncio
import hashlib
import ipaddress
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ossfs_resume.emulator import signature, signature_v1
from ossfs_resume.emulator.faults import Decision, Faults, Pacer, decide, is_changed
from ossfs_resume.emulator.object_facts import Facts
from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Kind, Request
from ossfs_resume.emulator.signature import Account

_FIELDS = frozenset(("access_key_id", "access_key_secret", "security_token", "expires_at"))


class Accounts:
    """The accounts in force; the first one is for ever."""

    def __init__(self, account: Account) -> None:
        self._first = account
        self._issued: dict[str, Account] = {}

    def issue(self, documents: Sequence[object]) -> None:
        """Accept these keys beside the first account, and no others. Raises ValueError.

        Each is an object of access_key_id, access_key_secret, security_token and perhaps
        expires_at in Unix seconds, upon which it is refused as expired.
        """
        accounts = [self._read(document) for document in documents]
        self._issued = {account.access_key_id: account for account in accounts}

    def verify(self, request: Request, now: float) -> None:
        """Raise `Refusal` unless one of the accounts signed ``request``."""
        old_key_id = signature_v1.key_id(request)
        key_id = signature.key_id(request) if old_key_id is None else old_key_id
        account = self._issued.get(key_id, self._first)
        if account.expires_at is not None and now >= account.expires_at:
            message = "The security token you provided has expired."
            raise Refusal(403, "SecurityTokenExpired", message, "0002-00000903")
        if old_key_id is not None and account.allows_v1:
            signature_v1.verify(request, account, now)
        else:
            signature.verify(request, account, now)

    def _read(self, document: object) -> Account:
        if not isinstance(document, Mapping) or not document.keys() <= _FIELDS:
            raise ValueError(f"an object of {', '.join(sorted(_FIELDS))} is wanted")
        if not document.keys() >= {"access_key_id", "access_key_secret"}:
            raise ValueError("access_key_id and access_key_secret are wanted")
        return replace(self._first, **document)


LOG_LENGTH = 5000


@dataclass(slots=True)
class Record:
    """One request; ``status`` is 0 while unanswered, ``bytes`` grows while the body is sent."""

    number: int
    method: str
    kind: Kind
    key: str
    query: dict[str, str]
    range: str
    if_match: str
    status: int = 0
    bytes: int = 0


class Ledger:
    """Counts what arrives and what is sent.

    Bytes are counted when they are handed to the connection; a client that breaks off has not
    received the last of them.
    """

    def __init__(self) -> None:
        self.open_streams = 0
        self.reset()

    def reset(self) -> None:
        """Start at zero; streams that are open stay counted."""
        self.log: deque[Record] = deque(maxlen=LOG_LENGTH)
        self.by_kind: Counter[Kind] = Counter()
        self.gets_by_key: Counter[str] = Counter()
        self._bytes_by_key: Counter[str] = Counter()

    def arrive(self, request: Request) -> Record:
        """Count a request and open its record."""
        kind = request.kind
        self.by_kind[kind] += 1
        record = Record(
            number=self.by_kind.total(),
            method=request.method,
            kind=kind,
            key=_text(request.key),
            query={_text(name): _text(value) for name, value in request.query},
            range=request.headers.get("range", ""),
            if_match=request.headers.get("if-match", ""),
        )
        self.log.append(record)
        return record

    def sent(self, record: Record, size: int) -> None:
        """Count bytes of a GET's content."""
        record.bytes += size
        self._bytes_by_key[record.key] += size

    def statistics(self) -> dict[str, object]:
        """Return the counters as JSON values."""
        return {
            "requests": {kind.value: self.by_kind[kind] for kind in Kind},
            "bytes": self._bytes_by_key.total(),
            "bytes_by_key": dict(self._bytes_by_key),
            "open_streams": self.open_streams,
        }

    def requests(self) -> list[dict[str, object]]:
        """Return the request log as JSON values, oldest first."""
        return [asdict(record) for record in self.log]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


PREFIX = b"/-/"


class FaultControl:
    """Holds the faults in force and wakes whoever waits for other ones."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.changed = asyncio.Event()
        self.total_pacer = Pacer()
        self.restart()

    def set(self, faults: Faults) -> None:
        """Replace the faults; ordinals and rate limits start anew."""
        self.faults = faults
        self.changed.set()
        self.changed = asyncio.Event()
        self.total_pacer = Pacer()
        self.restart()

    def restart(self) -> None:
        """Count ordinals from one again."""
        self._arrived: Counter[Kind] = Counter()
        self._gets: Counter[bytes] = Counter()

    def decide(self, kind: Kind) -> Decision:
        """Count a request and say what happens to it."""
        self._arrived[kind] += 1
        return decide(self.faults, kind, self._arrived)

    def count_get(self, key: bytes) -> None:
        """Count a GET of a key, towards the change of its ETag."""
        self._gets[key] += 1

    def shown(self, key: bytes, facts: Facts) -> Facts:
        """Return the facts to show of a key: others once it is to look changed or to be wrong."""
        if self.faults.crc64_off_by and facts.crc64 is not None:
            facts = replace(facts, crc64=facts.crc64 + self.faults.crc64_off_by)
        if not is_changed(self.faults, self._gets[key]):
            return facts
        other = hashlib.md5(facts.etag.encode(), usedforsecurity=False).hexdigest().upper()
        return replace(facts, etag=other)


def control_app(control: FaultControl, ledger: Ledger, accounts: Accounts) -> ASGIApp:
    """Build the application for paths that begin with `PREFIX`."""

    async def faults(request: HttpRequest) -> Response:
        if request.method == "PUT":
            try:
                control.set(Faults.from_json(await _json_object(request)))
            except ValueError as error:
                return Response(f"{error}\n", 400)
        return _json(control.faults.as_json())

    async def issue(request: HttpRequest) -> Response:
        try:
            accounts.issue(json.loads(await request.body()))
        except (TypeError, ValueError) as error:
            return Response(f"{error}\n", 400)
        return Response(status_code=204)

    async def statistics(_: HttpRequest) -> Response:
        return _json(ledger.statistics())

    async def requests(_: HttpRequest) -> Response:
        return _json(ledger.requests())

    async def reset(_: HttpRequest) -> Response:
        ledger.reset()
        control.restart()
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/-/faults", _local(faults), methods=["GET", "PUT"]),
            Route("/-/accounts", _local(issue), methods=["PUT"]),
            Route("/-/statistics", _local(statistics)),
            Route("/-/requests", _local(requests)),
            Route("/-/reset", _local(reset), methods=["POST"]),
        ]
    )


Handler = Callable[[HttpRequest], Awaitable[Response]]


def _local(handler: Handler) -> Handler:
    """Refuse clients that do not come from the loopback interface."""

    async def guarded(request: HttpRequest) -> Response:
        host = request.client.host if request.client else ""
        if not host or not ipaddress.ip_address(host).is_loopback:
            return Response("only for the loopback interface\n", 403)
        return await handler(request)

    return guarded


async def _json_object(request: HttpRequest) -> dict[str, Any]:
    document = json.loads(await request.body())
    if not isinstance(document, dict):
        raise ValueError("a JSON object is wanted")
    return document


def _json(value: object) -> Response:
    # Keys may hold surrogates, which ASCII-only JSON carries as escapes.
    return Response(json.dumps(value), media_type="application/json")
