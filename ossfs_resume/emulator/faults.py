"""Faults on request: what shall go wrong, and for which request.

Pure: `decide` says what happens to one request, the endpoint does it. Ordinals count from 1 since
the faults were set, so that "every third" means the same in every run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

from ossfs_resume.emulator.mischief import Mischief, choose
from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Kind, Request

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
