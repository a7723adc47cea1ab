"""The picture of a demonstration: bytes over time, as an SVG for light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 840, 400
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 84, 52  # what the axes and their words take

STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #57606a }
  .title { font-size: 17px; font-weight: 600; fill: #1f2328 }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .mark { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 5 4 }
  .marked { fill: #cf222e; font-weight: 600 }
  .dead { fill: #cf222e; opacity: 0.08 }
  .copied, .fetched { fill: none; stroke-width: 3; stroke-linejoin: round; stroke-linecap: round }
  .copied { stroke: #0969da }
  .fetched { stroke: #e16f24 }
  .of-copied { fill: #0969da }
  .of-fetched { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 }
    .title { fill: #f0f6fc }
    .grid { stroke: #3d444d }
    .mark { stroke: #ff7b72 }
    .dead { fill: #ff7b72; opacity: 0.14 }
    .marked { fill: #ff7b72 }
    .copied { stroke: #4493f8 }
    .fetched { stroke: #f0883e }
    .of-copied { fill: #4493f8 }
    .of-fetched { fill: #f0883e }
  }
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was there at a moment. Seconds since the beginning, MiB."""

    second: float
    copied: float
    fetched: float


def draw(samples: Sequence[Sample], death: float, revival: float, size: int) -> str:
    """The SVG of an object of ``size`` MiB whose mount was gone from ``death`` to ``revival``."""
    seconds = max(samples[-1].second, 1.0)

    def x(second: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * second / seconds, 1)

    def y(mib: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * mib / size, 1)

    twice = samples[-1].fetched - size
    body = [
        f'<text class="title" x="{LEFT}" y="28">A copy of {size} MiB, killed half-way: '
        f"{twice:.1f} MiB were fetched twice</text>",
        *_legend(),
        *(_level(y(size * part / 4), f"{size * part // 4} MiB") for part in range(5)),
        *(_second(x(second), second) for second in range(0, int(seconds) + 1, 5)),
        *_gap(x(death), x(revival)),
        _line("fetched", [(x(one.second), y(one.fetched)) for one in samples]),
        *(
            _line("copied", [(x(one.second), y(one.copied)) for one in samples if within(one)])
            for within in (lambda one: one.second < revival, lambda one: one.second >= revival)
        ),
    ]
    return _document("\n".join(body))


def _document(body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="Bytes copied and bytes fetched over time: after kill -9 the copy begins anew, '
        'is at once where it was, and nothing is fetched twice">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _legend() -> list[str]:
    return [
        f'<path class="copied" d="M{LEFT} 52h28"/>',
        f'<text class="of-copied" x="{LEFT + 36}" y="57">what cp has read</text>',
        f'<path class="fetched" d="M{LEFT + 190} 52h28"/>',
        f'<text class="of-fetched" x="{LEFT + 226}" y="57">what the bucket has sent</text>',
    ]


def _level(height: float, text: str) -> str:
    return (
        f'<path class="grid" d="M{LEFT} {height}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 8}" y="{height + 5}" text-anchor="end">{text}</text>'
    )


def _second(place: float, second: int) -> str:
    return f'<text x="{place}" y="{HEIGHT - BOTTOM + 24}" text-anchor="middle">{second} s</text>'


def _gap(death: float, revival: float) -> list[str]:
    bottom, width = HEIGHT - BOTTOM, round(revival - death, 1)
    return [
        f'<rect class="dead" x="{death}" y="{TOP}" width="{width}" height="{bottom - TOP}"/>',
        f'<path class="mark" d="M{death} {TOP}V{bottom}M{revival} {TOP}V{bottom}"/>',
        f'<text class="marked" x="{death - 8}" y="{TOP + 22}" text-anchor="end">kill -9</text>',
        f'<text class="marked" x="{revival + 8}" y="{TOP + 22}">mounted again, cp again</text>',
    ]


def _line(name: str, points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{across:g},{up:g}" for across, up in points)
    return f'<polyline class="{name}" points="{path}"/>'
