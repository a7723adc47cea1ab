"""The faults in force, what they are counted by, and the resource under ``/-/``."""

import asyncio
import hashlib
import ipaddress
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ossfs_resume.emulator.accounts import Accounts
from ossfs_resume.emulator.facts import Facts
from ossfs_resume.emulator.faults import Decision, Faults, decide, is_changed
from ossfs_resume.emulator.ledger import Ledger
from ossfs_resume.emulator.pacing import Pacer
from ossfs_resume.emulator.request import Kind

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
