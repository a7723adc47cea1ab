"""Faults on request: what shall go wrong, and for which request.

Pure: `decide` says what happens to one request, the endpoint does it. Ordinals count from 1 since
the faults were set, so that "every third" means the same in every run.

Some answers no client should believe: `choose` says which mischief meets a request, `disturb` makes
the answer that it leads to. The choice depends on a seed and on the number of the request alone.
Rates are kept by reserving time (`Pacer`).
"""

import gzip
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from random import Random
from typing import Self

from ossfs_resume.emulator.answer import Answer, Endless, FilePart
from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Kind, Request

_SLICES_PER_SECOND = 20
_MIN_SLICE = 512
_MAX_LAG_S = 0.05


@dataclass(slots=True)
class Pacer:
    """A line of fixed rate: what is sent through it occupies it for size / rate seconds.

    Who comes back a little late continues where the last reservation ended, so that late wake-ups
    never add up; a line idle for longer starts anew, so that unused time is not saved for a burst.
    """

    _free_at: float = 0.0

    def reserve(self, size: int, rate: float, now: float) -> float:
        """Reserve ``size`` bytes at ``rate`` bytes/s; return the seconds until they have passed."""
        is_idle = now - self._free_at > _MAX_LAG_S
        self._free_at = (now if is_idle else self._free_at) + size / rate
        return self._free_at - now


def slice_size(rates: tuple[float, ...], maximum: int) -> int:
    """Bytes to send at once, so that the slowest of ``rates`` (0 = none) flows evenly."""
    limits = [int(rate / _SLICES_PER_SECOND) for rate in rates if rate > 0]
    return max(min([maximum, *limits]), _MIN_SLICE)


class Mischief(StrEnum):
    """What an origin, or something between it and its client, may do to one request."""

    FAIL = "fail"
    """The error that the faults name."""
    RESET = "reset"
    STALL = "stall"
    """The body stops somewhere, for as long as the faults are in force."""
    TRUNCATE = "truncate"
    """The connection is closed somewhere in the body."""
    WHOLE = "whole"
    """The entire object and 200, whatever range was asked for."""
    SHIFT = "shift"
    """Another range than the one asked for, and the answer says so."""
    LIE = "lie"
    """The range asked for, under the wrong Content-Range."""
    GZIP = "gzip"
    """Compressed on the way: no length, no ETag, no range."""
    HTML = "html"
    """502 and a page for humans."""
    PORTAL = "portal"
    """200 and a page for humans, to everything."""
    REDIRECT = "redirect"
    """To where the request came from."""
    ENDLESS = "endless"
    """200 and XML without end."""
    HEADERS = "headers"
    """A megabyte of headers before the right answer."""


PAGE = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"
_HTML = {"Content-Type": "text/html"}
_ENTRY = b"<Contents><Key>k</Key><Size>1</Size></Contents>" * 1000
_ENDLESS_BYTES = 1 << 40
_LATEST_BYTE = 200_000


def choose(
    kinds: tuple[Mischief, ...], share: float, seed: int, ordinal: int
) -> tuple[Mischief | None, int]:
    """The mischief that meets the ``ordinal``-th request, and after how many bytes of its body.

    Each of ``kinds`` meets ``share`` of the requests; ``share`` times their number is at most 1.
    """
    if not kinds:
        return None, 0
    chance = Random(f"{seed} {ordinal}")
    index = int(chance.random() / share)
    return (kinds[index] if index < len(kinds) else None), chance.randrange(_LATEST_BYTE)


def disturb(mischief: Mischief | None, target: str, answer: Answer) -> Answer:
    """What is sent in place of ``answer``; ``target`` is what was asked for."""
    match mischief:
        case Mischief.HTML:
            return Answer(502, _HTML, PAGE)
        case Mischief.PORTAL:
            return Answer(200, _HTML, PAGE)
        case Mischief.REDIRECT:
            return Answer(302, {"Location": target})
        case Mischief.ENDLESS:
            xml = {"Content-Type": "application/xml"}
            return Answer(200, xml, Endless(b"<ListBucketResult>", _ENTRY, _ENDLESS_BYTES))
        case Mischief.HEADERS:
            many = {f"x-oss-meta-{number}": "x" * 8000 for number in range(128)}
            return replace(answer, headers={**answer.headers, **many})
    if answer.status == 206 and isinstance(answer.body, FilePart):
        return _disturb_range(mischief, answer, answer.body)
    return answer


def _disturb_range(mischief: Mischief | None, answer: Answer, part: FilePart) -> Answer:
    size, span = part.stored.size, part.span
    moved = range(max(span.start - 1, 0), max(span.stop - 1, 1)) if span.start else span[:-1]
    headers = dict(answer.headers)
    match mischief:
        case Mischief.WHOLE:
            del headers["Content-Range"]
            return Answer(200, headers, FilePart(part.stored, range(size)))
        case Mischief.SHIFT if moved:
            headers["Content-Range"] = f"bytes {moved.start}-{moved.stop - 1}/{size}"
            return Answer(206, headers, FilePart(part.stored, moved))
        case Mischief.LIE:
            headers["Content-Range"] = f"bytes {span.start + 1}-{span.stop}/{size}"
            return Answer(206, headers, part)
        case Mischief.GZIP:
            for name in ("ETag", "Content-Range", "Accept-Ranges", "Content-MD5"):
                headers.pop(name, None)
            packed = gzip.compress(part.stored.read(span.start, len(span)), 1)
            return Answer(200, headers | {"Content-Encoding": "gzip"}, Endless(b"", packed, 1))
    return answer


_DATA = frozenset({Kind.GET})
_HANGS = {
    "": frozenset[Kind](),
    "data": _DATA,
    "metadata": frozenset(Kind) - _DATA,
    "all": frozenset(Kind),
}
_LISTINGS = ("", "v1", "empty", "repeat", "bare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What shall go wrong; the default is nothing.

    Rates and delays: ``latency_ms`` before each answer, ``late_ms`` more before that of every
    ``late_every``-th request of ``kinds``; ``connection_bytes_per_s`` for each
    connection and ``total_bytes_per_s`` for all together limit the bodies of GET.

    Failures: among requests of ``kinds`` (all if empty), every ``fail_every``-th is answered with
    ``fail_status``, ``fail_code`` and ``fail_message``, and every ``reset_every``-th gets a TCP
    reset. The body of every ``truncate_every``-th GET ends after ``truncate_after_bytes`` with the
    connection closed; that of every ``stall_every``-th GET stops after ``stall_after_bytes`` and
    goes on when the faults are lifted. ``hang`` (``data``, ``metadata`` or ``all``) holds back new
    answers until lifted. After ``change_after_requests`` GETs of a key its ETag is another one.
    The endpoint's clock is ``clock_ahead_s`` ahead, its CRC-64s are ``crc64_off_by`` too high.

    Chance: each kind of ``mischief`` meets ``mischief_share`` of the requests of ``kinds``, by the
    numbers that ``mischief_seed`` leads to.

    Listings: ``listing`` is ``v1`` for a server that knows no ListObjectsV2, ``empty`` for an empty
    page before each real one, ``repeat`` for tokens that lead nowhere, ``bare`` for one that
    ignores ``encoding-type``. ``payer`` is who must agree to pay: nobody, or the ``requester``.
    """

    latency_ms: float = 0
    late_every: int = 0
    late_ms: float = 0
    connection_bytes_per_s: float = 0
    total_bytes_per_s: float = 0
    kinds: tuple[Kind, ...] = ()
    fail_every: int = 0
    fail_status: int = 503
    fail_code: str = "ServiceUnavailable"
    fail_message: str = "A fault on request."
    reset_every: int = 0
    truncate_every: int = 1
    truncate_after_bytes: int | None = None
    stall_every: int = 1
    stall_after_bytes: int | None = None
    hang: str = ""
    change_after_requests: int = 0
    clock_ahead_s: float = 0
    crc64_off_by: int = 0
    mischief: tuple[Mischief, ...] = ()
    mischief_share: float = 0.05
    mischief_seed: int = 0
    listing: str = ""
    payer: str = ""

    def __post_init__(self) -> None:
        if self.hang not in _HANGS:
            raise ValueError(f"hang: {self.hang!r} is none of {', '.join(map(repr, _HANGS))}")
        if not 400 <= self.fail_status <= 599:
            raise ValueError(f"fail_status: {self.fail_status} is no error")
        if self.listing not in _LISTINGS:
            raise ValueError(f"listing: {self.listing!r} is none of {', '.join(_LISTINGS)}")
        if not 0 < self.mischief_share * max(len(self.mischief), 1) <= 1:
            raise ValueError(
                f"mischief_share: {self.mischief_share} for each kind is over 1 in all"
            )
        for name, value in self.as_json().items():
            if isinstance(value, (int, float)) and value < 0:
                raise ValueError(f"{name}: {value} is negative")

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """Build from names and JSON values; ValueError names the one that is wrong."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ValueError(f"{name}: no such fault; known are {', '.join(sorted(known))}")
        return cls(**{name: _convert(name, value) for name, value in values.items()})  # type: ignore[arg-type]

    def as_json(self) -> dict[str, object]:
        """Return all names and values, as `from_json` takes them."""
        return asdict(self) | {"kinds": list(self.kinds), "mischief": list(self.mischief)}

    def hangs(self, kind: Kind) -> bool:
        """Whether new answers to requests of this kind are held back."""
        return kind in _HANGS[self.hang]

    def refuse_free_riders(self, request: Request) -> None:
        """Raise a refusal if the requester has to pay and does not agree to."""
        if self.payer and request.headers.get("x-oss-request-payer") != self.payer:
            message = "The bucket is requester pays: x-oss-request-payer is missing."
            raise Refusal(403, "AccessDenied", message, "0003-00000701")

    @property
    def can_stall(self) -> bool:
        """Whether a body that stopped stays stopped."""
        return self.stall_after_bytes is not None or Mischief.STALL in self.mischief


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one request; limits on its body are counts of bytes, None for no limit."""

    delay_s: float = 0
    fail: bool = False
    reset: bool = False
    truncate_after_bytes: int | None = None
    stall_after_bytes: int | None = None
    mischief: Mischief | None = None


def decide(faults: Faults, kind: Kind, arrived: Mapping[Kind, int]) -> Decision:
    """Decide on a request; ``arrived`` counts the requests of each kind, this one included."""
    kinds = faults.kinds or tuple(Kind)
    ordinal = sum(arrived.get(each, 0) for each in kinds) if kind in kinds else 0
    gets = arrived.get(Kind.GET, 0) if kind is Kind.GET else 0
    mischief, after = _mischief(faults, ordinal)
    cut = faults.truncate_after_bytes if _strikes(faults.truncate_every, gets) else None
    stall = faults.stall_after_bytes if _strikes(faults.stall_every, gets) else None
    late_ms = faults.late_ms if _strikes(faults.late_every, ordinal) else 0
    return Decision(
        delay_s=(faults.latency_ms + late_ms) / 1000,
        fail=_strikes(faults.fail_every, ordinal) or mischief is Mischief.FAIL,
        reset=_strikes(faults.reset_every, ordinal) or mischief is Mischief.RESET,
        truncate_after_bytes=after if mischief is Mischief.TRUNCATE else cut,
        stall_after_bytes=after if mischief is Mischief.STALL else stall,
        mischief=mischief,
    )


def _mischief(faults: Faults, ordinal: int) -> tuple[Mischief | None, int]:
    if not ordinal:
        return None, 0
    return choose(faults.mischief, faults.mischief_share, faults.mischief_seed, ordinal)


def is_changed(faults: Faults, gets_before: int) -> bool:
    """Whether a key that was asked for ``gets_before`` times shows its other ETag."""
    return 0 < faults.change_after_requests <= gets_before


def _strikes(every: int, ordinal: int) -> bool:
    return every > 0 and ordinal > 0 and ordinal % every == 0


def _convert(name: str, value: object) -> object:
    """Accept what JSON has for a field: numbers, texts and lists by the type of its default."""
    if name == "kinds" and isinstance(value, (list, tuple)):
        return tuple(Kind(each) for each in value)
    if name == "mischief" and isinstance(value, (list, tuple)):
        return tuple(Mischief(each) for each in value)
    default = getattr(Faults(), name)
    if value is None and default is None:
        return None
    expected = str if isinstance(default, str) else (int, float)
    if name in ("kinds", "mischief") or isinstance(value, bool) or not isinstance(value, expected):
        raise ValueError(f"{name}: {value!r} does not fit")
    return value
