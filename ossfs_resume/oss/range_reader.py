"""Reading a range of one version: resumed after each failure, raced when it falls silent.

A range has a budget of time *without progress*: it continues after the last byte that its sink got,
and each byte renews the budget. The sink gets bytes once and in order, and only from answers that
`range_answer` has let pass. Two attempts at the same bytes share it: after each wait, and with no
await between the question and the bytes, an attempt asks whether another one was heard first. So
one that has lost never writes, even if both have bytes in the same turn of the event loop.

What is remembered of the versions that are read, their ids and why they cannot be read now
(`VersionNotes`), is a help and no more: it is bounded, and the oldest are forgotten.
"""

from dataclasses import replace
from typing import Protocol

from ossfs_resume.errors import OriginError
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.exchange import Exchange
from ossfs_resume.oss.headers import Headers, parse_crc64, parse_version_id
from ossfs_resume.oss.hedging import Turn
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_answer import check_range
from ossfs_resume.oss.request import range_request
from ossfs_resume.oss.sender import Lane, Sender

MAX_VERSIONS = 10_000
"""Version ids remembered of what is being read."""

MAX_FAILING = 1000
"""Versions of which the last failure is remembered."""


class VersionNotes:
    """By key and ETag; no two versions share both."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], str] = {}
        self._failing: dict[tuple[str, str], str] = {}

    def failing(self, meta: ObjectMeta) -> str:
        """Why the last request for a range of this version failed; empty once one brought bytes.

        Whoever stops waiting knows only that nothing came; this is what the origin said.
        """
        return self._failing.get((meta.key, meta.etag), "")

    def superseded(self, meta: ObjectMeta) -> ObjectMeta | None:
        """How to go on reading a version that is not the current one; None if there is no way.

        By its version id if the bucket has told one; an appendable object may just have grown.
        """
        if meta.access != "current":
            return None
        version_id = meta.version_id or self._versions.get((meta.key, meta.etag), "")
        if version_id:
            return replace(meta, version_id=version_id, access="pinned")
        return replace(meta, access="grown") if meta.object_type == "Appendable" else None

    def failed(self, meta: ObjectMeta, error: OriginError) -> None:
        """A request for a range of this version failed."""
        self._failing.pop((meta.key, meta.etag), None)
        # Text: an exception would keep its frames, and what they had received, for as long.
        self._failing[meta.key, meta.etag] = str(error)
        if len(self._failing) > MAX_FAILING:
            del self._failing[next(iter(self._failing))]

    def brought_bytes(self, meta: ObjectMeta) -> None:
        """A range of this version is arriving."""
        self._failing.pop((meta.key, meta.etag), None)

    def answered(self, meta: ObjectMeta, headers: Headers) -> None:
        """An answer brings this version; it may tell its id."""
        if version_id := parse_version_id(headers):
            self._versions.pop((meta.key, meta.etag), None)
            self._versions[meta.key, meta.etag] = version_id
            if len(self._versions) > MAX_VERSIONS:
                del self._versions[next(iter(self._versions))]


class Sink(Protocol):
    """Where the bytes of a range belong; it has the memory."""

    @property
    def position(self) -> int:
        """Where in the object the next byte belongs."""

    def room(self) -> memoryview:
        """Memory for the next bytes, valid until the next await; empty while there is none."""

    async def filled(self, count: int) -> None:
        """So many bytes were put into `room`."""

    async def dry(self) -> None:
        """Nothing more is there at this moment; returns when there is room."""


class MemorySink:
    """Takes at most ``size`` bytes, from ``start`` on in their object, into memory."""

    def __init__(self, start: int, size: int) -> None:
        self._start = start
        self._memory = memoryview(bytearray(size))
        self._count = 0

    @property
    def data(self) -> bytes:
        """What has come."""
        return bytes(self._memory[: self._count])

    @property
    def position(self) -> int:
        return self._start + self._count

    def room(self) -> memoryview:
        return self._memory[self._count :]

    async def filled(self, count: int) -> None:
        self._count += count

    async def dry(self) -> None:
        pass


class RangeReader:
    """Reads ranges in a lane of its own, in the one event loop that uses it."""

    def __init__(self, endpoint: Endpoint, sender: Sender, notes: VersionNotes) -> None:
        self._endpoint = endpoint
        self._sender = sender
        self._notes = notes
        self.lane = sender.open_data_lane()

    async def read_range(self, meta: ObjectMeta, stop: int, sink: Sink) -> int | None:
        """Brings the bytes of the version ``meta`` from the sink's position on, up to ``stop``.

        Returns the CRC-64 of the whole object, None if the origin tells none. Failures are retried
        in here, from the byte after the last one that the sink got. Raises ObjectChanged and
        NotFound at once, and the last TransientError after ``timeout_s`` without a byte; what the
        sink has until then is good. What the sink raises ends the operation; it must not be an
        OriginError, which would be taken for one of this request.
        """
        if sink.position >= stop:
            return meta.crc64
        async with self.lane.slots:
            return await RangeReading(
                self._endpoint, self._sender, self.lane, self._notes, meta, stop, sink
            ).run()


class RangeReading:
    """The bytes of a version on their way into ``sink``, from its position up to ``stop``.

    What the sink raises ends it; it must not be an OriginError, which would be taken for one of
    the request.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sender: Sender,
        lane: Lane[Exchange],
        notes: VersionNotes,
        meta: ObjectMeta,
        stop: int,
        sink: Sink,
    ) -> None:
        self._endpoint = endpoint
        self._sender = sender
        self._lane = lane
        self._notes = notes
        self._meta = meta
        self._stop = stop
        self._sink = sink
        what = f"bytes [{sink.position}, {stop}) of {meta.key!r}"
        self._attempts = sender.attempts(self._lane, what)

    async def run(self) -> int | None:
        """To its end; the CRC-64 of the whole object if the origin tells one.

        Raises the error that no further attempt may cure, or the last one within the budget.
        """
        while True:
            try:
                return await self._lane.contests.race(self._receive)
            except OriginError as error:
                self._notes.failed(self._meta, error)
                await self._attempts.wait(error)

    async def _receive(self, turn: Turn) -> int | None:
        """One attempt at what is missing; None also if another one was heard first."""
        meta, start, stop = self._meta, self._sink.position, self._stop
        wanted = range_request(self._endpoint, meta, start, stop)
        async with self._sender.send(
            self._lane, "range_requests", wanted, self._attempts, turn
        ) as exchange:
            check_range(meta, start, stop, exchange.status, exchange.headers)
            self._notes.answered(meta, exchange.headers)
            with exchange.patience():
                await self._take(exchange, turn)
            if turn.is_out:
                return None
            return None if meta.access == "grown" else parse_crc64(exchange.headers)

    async def _take(self, exchange: Exchange, turn: Turn) -> None:
        """The body, as far as no other attempt was heard first."""
        sink, counts = self._sink, self._lane.counts
        is_first = True
        while exchange.left and not turn.is_out:
            room = sink.room()
            count = exchange.receive_now(room) if room else None
            if count is None:
                await sink.dry()
                if room:
                    turn.listen()
                    await exchange.wait()
                continue
            turn.hear()
            if is_first:
                self._notes.brought_bytes(self._meta)
                is_first = False
            self._attempts.progress()
            counts["bytes_received"] += count
            await sink.filled(count)
