"""Counters and the request log: what tests and benchmarks ask the endpoint afterwards."""

from collections import Counter, deque
from dataclasses import asdict, dataclass

from ossfs_resume.emulator.request import Kind, Request

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
