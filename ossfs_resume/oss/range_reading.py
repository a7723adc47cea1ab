"""Reading a range of one version: resumed after each failure, raced when it falls silent.

A range has a budget of time *without progress*: it continues after the last byte delivered, and
each byte renews the budget. Bytes are delivered once and in order, and only from answers that
`range_answer` has let pass; of two attempts at the same bytes only the one heard first delivers.
"""

from collections.abc import Awaitable, Callable

from ossfs_resume.errors import OriginError
from ossfs_resume.oss import wire
from ossfs_resume.oss.endpoint import Endpoint
from ossfs_resume.oss.hedging import Turn, race
from ossfs_resume.oss.models import ObjectMeta
from ossfs_resume.oss.range_answer import check_range
from ossfs_resume.oss.request import range_request
from ossfs_resume.oss.sending import Sender
from ossfs_resume.oss.version_notes import VersionNotes

Deliver = Callable[[bytes], Awaitable[None]]


class RangeReading:
    """The bytes ``[start, stop)`` of a version on their way to ``deliver``.

    What ``deliver`` raises ends it; it must not be an OriginError, which would be taken for one of
    the request.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sender: Sender,
        notes: VersionNotes,
        meta: ObjectMeta,
        start: int,
        stop: int,
        deliver: Deliver,
    ) -> None:
        self._endpoint = endpoint
        self._sender = sender
        self._notes = notes
        self._meta = meta
        self._position = start
        self._stop = stop
        self._deliver = deliver
        self._attempts = sender.attempts(f"bytes [{start}, {stop}) of {meta.key!r}")

    async def run(self) -> int | None:
        """To its end; the CRC-64 of the whole object if the origin tells one.

        Raises the error that no further attempt may cure, or the last one within the budget.
        """
        while True:
            try:
                return await race(self._receive, self._sender.data.hedges)
            except OriginError as error:
                self._notes.failed(self._meta, error)
                await self._attempts.wait(error)

    async def _receive(self, turn: Turn) -> int | None:
        """One attempt at what is missing; None also if another one was heard first."""
        meta, stop = self._meta, self._stop
        wanted = range_request(self._endpoint, meta, self._position, stop)
        lane = self._sender.data
        async with self._sender.send(
            lane, "range_requests", wanted, self._attempts, turn
        ) as answer:
            check_range(meta, self._position, stop, answer.status, answer.headers)
            self._notes.answered(meta, answer.headers)
            async for chunk in answer:
                if not turn.hear():
                    return None
                await self._take(chunk)
                turn.listen()
            return None if meta.access == "grown" else wire.parse_crc64(answer.headers)

    async def _take(self, chunk: bytes) -> None:
        self._notes.brought_bytes(self._meta)
        await self._deliver(chunk)
        self._position += len(chunk)
        self._attempts.progress()
        self._sender.counts["bytes_received"] += len(chunk)
