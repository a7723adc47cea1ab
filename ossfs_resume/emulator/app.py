"""The endpoint as an ASGI application: reads requests, performs faults, sends answers.

What an answer is, is decided elsewhere in plain functions; here is what waits. Blocking work runs
in threads, except reads of file content: these come from the page cache and a thread costs more.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope, Send

from ossfs_resume.emulator import xml
from ossfs_resume.emulator.answer import Answer, FilePart, refusal_answer, xml_answer
from ossfs_resume.emulator.bucket import Bucket, Stored
from ossfs_resume.emulator.control import (
    PREFIX,
    Accounts,
    FaultControl,
    Ledger,
    Record,
    control_app,
)
from ossfs_resume.emulator.faults import Decision, Faults, disturb
from ossfs_resume.emulator.index import MAX_KEY_BYTES
from ossfs_resume.emulator.lists import describe_bucket, list_objects
from ossfs_resume.emulator.object_facts import Facts, Properties
from ossfs_resume.emulator.objects import read_object
from ossfs_resume.emulator.refusal import (
    Refusal,
    invalid_argument,
    no_such_bucket,
    no_such_key,
    not_implemented,
)
from ossfs_resume.emulator.request import Kind, Request, is_virtual_hosted, parse
from ossfs_resume.emulator.sending import STATE_KEY, Connection, Exchange, send_answer, wait_until
from ossfs_resume.emulator.signature import Account

logger = logging.getLogger(__name__)


class Endpoint:
    """One bucket over HTTP. ``clock`` returns Unix seconds and is what signatures are held to."""

    def __init__(
        self,
        name: str,
        bucket: Bucket,
        account: Account,
        faults: Faults,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._bucket = bucket
        self._account = account
        self._accounts = Accounts(account)
        self._clock = clock
        self._ledger = Ledger()
        self._control = FaultControl(faults)
        self._control_app = control_app(self._control, self._ledger, self._accounts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: a control resource, or else OSS."""
        if scope["raw_path"].startswith(PREFIX) and not self._is_virtual_hosted(scope):
            await self._control_app(scope, receive, send)
            return
        request = parse(
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            scope["headers"],
            self._name,
        )
        connection: Connection = scope["state"][STATE_KEY]
        target = scope["raw_path"].decode("latin-1")
        await self._serve(request, Exchange(connection, receive, send, target))

    def _is_virtual_hosted(self, scope: Scope) -> bool:
        hosts = (value.decode("latin-1") for name, value in scope["headers"] if name == b"host")
        return is_virtual_hosted(next(hosts, ""), self._name)

    async def _serve(self, request: Request, exchange: Exchange) -> None:
        started = time.monotonic()
        record = self._ledger.arrive(request)
        decision = self._control.decide(request.kind)
        await self._hold_back(request.kind, decision.delay_s, exchange)
        if decision.reset:
            exchange.connection.reset()
            return
        request_id = secrets.token_hex(12).upper()
        right = await self._answer(request, decision, exchange, request_id)
        answer = disturb(decision.mischief, exchange.target, right)
        if not isinstance(answer.body, FilePart):
            _close(right)
        if exchange.connection.lost.is_set():
            _close(answer)
            return
        record.status = answer.status
        elapsed_ms = int((time.monotonic() - started) * 1000)
        shared = {
            "Date": formatdate(self._now(), usegmt=True),
            "x-oss-request-id": request_id,
            "x-oss-server-time": str(elapsed_ms),
        }
        await self._send(answer, shared, decision, record, exchange)

    def _now(self) -> float:
        return self._clock() + self._control.faults.clock_ahead_s

    async def _hold_back(self, kind: Kind, delay_s: float, exchange: Exchange) -> None:
        """Wait as long as the faults in force say, or until the client has gone."""
        if delay_s:
            await wait_until(exchange.connection.lost, timeout_s=delay_s)
        while self._control.faults.hangs(kind) and not exchange.connection.lost.is_set():
            await wait_until(self._control.changed, exchange.connection.lost)

    async def _answer(
        self, request: Request, decision: Decision, exchange: Exchange, request_id: str
    ) -> Answer:
        try:
            self._accounts.verify(request, self._now())
            self._control.faults.refuse_free_riders(request)
            if decision.fail:
                faults = self._control.faults
                raise Refusal(
                    faults.fail_status, faults.fail_code, faults.fail_message, "0099-00000001"
                )
            return await self._perform(request, exchange)
        except Refusal as refusal:
            return refusal_answer(refusal, request, request_id)
        except Exception as error:
            if not exchange.connection.lost.is_set():
                logger.exception("%s %r failed", request.method, request.key)
            failure = Refusal(500, "InternalError", f"{type(error).__name__}: {error}")
            return refusal_answer(failure, request, request_id)

    async def _perform(self, request: Request, exchange: Exchange) -> Answer:
        if not request.bucket:
            return xml_answer(xml.buckets_body(self._name, self._account.region))
        if request.bucket != self._name:
            raise no_such_bucket(request.bucket)
        if len(request.key) > MAX_KEY_BYTES:
            raise Refusal(400, "InvalidObjectName", "The specified object is not valid.")
        match request.kind:
            case Kind.GET | Kind.HEAD:
                return await self._read(request)
            case Kind.LIST:
                oddity = self._control.faults.listing
                return await asyncio.to_thread(
                    list_objects, request, self._bucket, self._control.shown, oddity
                )
            case Kind.PUT:
                return await self._put(request, exchange)
            case Kind.DELETE:
                await asyncio.to_thread(self._bucket.delete, request.key)
                return Answer(204)
            case Kind.OTHER if request.key and request.method == "POST":
                return await self._post(request, exchange)
            case _ if not request.key:
                return describe_bucket(request, self._account.region)
            case _:
                raise not_implemented(request.method)

    async def _read(self, request: Request) -> Answer:
        version = (request.parameter("versionId") or b"").decode()
        properties = self._bucket.properties(request.key, version)
        stored = self._bucket.open(request.key, version)
        if stored is None:
            raise no_such_key(request.key)
        facts = properties.shown(self._control.shown(request.key, await self._facts(stored)))
        if facts.object_type == "Symlink" and not request.has_any(("symlink", "objectMeta")):
            stored, facts = await self._follow(stored, facts)
        if request.kind is Kind.GET:
            self._control.count_get(request.key)
        return read_object(request, stored, facts, properties)

    async def _facts(self, stored: Stored) -> Facts:
        try:
            if facts := self._bucket.known_facts(stored):
                return facts
            return await asyncio.to_thread(self._bucket.compute_facts, stored)
        except BaseException:
            stored.close()
            raise

    async def _follow(self, link: Stored, facts: Facts) -> tuple[Stored, Facts]:
        """Target and facts of a symlink: the target's content, ETag and length; else the link's."""
        target = link.read(0, link.size)
        link.close()
        if self._bucket.properties(target).object_type == "Symlink":
            raise Refusal(400, "InvalidTargetType", "The target of the symlink is a symlink.")
        stored = self._bucket.open(target)
        if stored is None:
            raise Refusal(404, "SymlinkTargetNotExist", "The target of the symlink does not exist.")
        return stored, replace(facts, etag=(await self._facts(stored)).etag)

    async def _put(self, request: Request, exchange: Exchange) -> Answer:
        if name := request.has_any(("partNumber", "acl", "tagging")):
            raise not_implemented(name)
        length = request.headers.get("content-length", "0")
        if not length.isdecimal():
            raise invalid_argument("Content-Length is no number.", "Content-Length", length)
        is_symlink = request.parameter("symlink") is not None
        target = unquote_to_bytes(request.headers.get("x-oss-symlink-target", ""))
        upload = self._bucket.start_upload(len(target) if is_symlink else int(length))
        try:
            async for chunk in exchange.body():
                upload.write(chunk)
            upload.write(target if is_symlink else b"")
        except BaseException:
            upload.abort()
            raise
        properties = Properties.of(request.headers, "Symlink" if is_symlink else "")
        facts = await asyncio.to_thread(self._bucket.commit, upload, request.key, properties)
        version = self._bucket.properties(request.key).version_id
        headers = {"x-oss-version-id": version} if version else {}
        return Answer(
            200,
            headers
            | {
                "ETag": f'"{facts.etag}"',
                "x-oss-hash-crc64ecma": str(facts.crc64),
                "Content-MD5": facts.content_md5,
            },
        )

    async def _post(self, request: Request, exchange: Exchange) -> Answer:
        if request.parameter("restore") is not None:
            self._bucket.restore(request.key)
            return Answer(202)
        if request.parameter("append") is None:
            raise not_implemented(request.method)
        data = b"".join([chunk async for chunk in exchange.body()])
        size = await asyncio.to_thread(
            self._bucket.append, request.key, int(request.parameter("position") or b"0"), data
        )
        return Answer(200, {"x-oss-next-append-position": str(size)})

    async def _send(
        self,
        answer: Answer,
        shared: dict[str, str],
        decision: Decision,
        record: Record,
        exchange: Exchange,
    ) -> None:
        self._ledger.open_streams += 1
        try:
            await send_answer(
                exchange,
                answer,
                shared,
                decision,
                self._control,
                lambda size: self._ledger.sent(record, size),
            )
        finally:
            self._ledger.open_streams -= 1
            _close(answer)


def _close(answer: Answer) -> None:
    if isinstance(answer.body, FilePart):
        answer.body.stored.close()
