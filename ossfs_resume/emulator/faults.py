"""Faults on request: what shall go wrong, and for which request.

Pure: `decide` says what happens to one request, the endpoint does it. Ordinals count from 1 since
the faults were set, so that "every third" means the same in every run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

from ossfs_resume.emulator.request import Kind

_DATA = frozenset({Kind.GET})
_HANGS = {
    "": frozenset[Kind](),
    "data": _DATA,
    "metadata": frozenset(Kind) - _DATA,
    "all": frozenset(Kind),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What shall go wrong; the default is nothing.

    Rates and delays: ``latency_ms`` before each answer; ``connection_bytes_per_s`` for each
    connection and ``total_bytes_per_s`` for all together limit the bodies of GET.

    Failures: among requests of ``kinds`` (all if empty), every ``fail_every``-th is answered with
    ``fail_status``, ``fail_code`` and ``fail_message``, and every ``reset_every``-th gets a TCP
    reset. The body of every ``truncate_every``-th GET ends after ``truncate_after_bytes`` with the
    connection closed; that of every ``stall_every``-th GET stops after ``stall_after_bytes`` and
    goes on when the faults are lifted. ``hang`` (``data``, ``metadata`` or ``all``) holds back new
    answers until lifted. After ``change_after_requests`` GETs of a key its ETag is another one.
    The endpoint's clock is ``clock_ahead_s`` ahead.
    """

    latency_ms: float = 0
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

    def __post_init__(self) -> None:
        if self.hang not in _HANGS:
            raise ValueError(f"hang: {self.hang!r} is none of {', '.join(map(repr, _HANGS))}")
        if not 400 <= self.fail_status <= 599:
            raise ValueError(f"fail_status: {self.fail_status} is no error")
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
        return asdict(self) | {"kinds": list(self.kinds)}

    def hangs(self, kind: Kind) -> bool:
        """Whether new answers to requests of this kind are held back."""
        return kind in _HANGS[self.hang]


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one request; limits on its body are counts of bytes, None for no limit."""

    fail: bool = False
    reset: bool = False
    truncate_after_bytes: int | None = None
    stalls: bool = False


def decide(faults: Faults, kind: Kind, arrived: Mapping[Kind, int]) -> Decision:
    """Decide on a request; ``arrived`` counts the requests of each kind, this one included."""
    kinds = faults.kinds or tuple(Kind)
    ordinal = sum(arrived.get(each, 0) for each in kinds) if kind in kinds else 0
    gets = arrived.get(Kind.GET, 0) if kind is Kind.GET else 0
    is_cut = _strikes(faults.truncate_every, gets)
    return Decision(
        fail=_strikes(faults.fail_every, ordinal),
        reset=_strikes(faults.reset_every, ordinal),
        truncate_after_bytes=faults.truncate_after_bytes if is_cut else None,
        stalls=_strikes(faults.stall_every, gets),
    )


def is_changed(faults: Faults, gets_before: int) -> bool:
    """Whether a key that was asked for ``gets_before`` times shows its other ETag."""
    return 0 < faults.change_after_requests <= gets_before


def _strikes(every: int, ordinal: int) -> bool:
    return every > 0 and ordinal > 0 and ordinal % every == 0


def _convert(name: str, value: object) -> object:
    """Accept what JSON has for a field: numbers, texts and lists by the type of its default."""
    if name == "kinds" and isinstance(value, (list, tuple)):
        return tuple(Kind(each) for each in value)
    default = getattr(Faults(), name)
    if value is None and default is None:
        return None
    expected = str if isinstance(default, str) else (int, float)
    if name == "kinds" or isinstance(value, bool) or not isinstance(value, expected):
        raise ValueError(f"{name}: {value!r} does not fit")
    return value
