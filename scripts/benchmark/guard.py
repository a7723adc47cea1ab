"""Whether this checkout is slower than another revision of it: processor time of the mount.

Both mount the same bucket in turns, each round with fresh caches, with the dependencies of this
checkout. Processor time is what a change costs whoever else uses the machine; it hangs less on the
load than time does, yet not nothing: the medians of several rounds are compared, and a ratio counts
as worse only if the best rounds say so too.

Exit status 1 if anything became worse than the bound.
"""

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import click
from files import Sizes, create
from origin import BUCKET, serving
from scenarios import Arena, Result, large, names, random_near, tiny

from peers import OURS, Command, Peer, Place

ROOT = Path(__file__).resolve().parents[2]
SIZES = Sizes(512, 2000, 0, 2000, 0, 0, 50_000)
QUICK = Sizes(256, 500, 0, 500, 0, 0, 10_000)
THIS = "this checkout"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Processor seconds for one scenario, before and now, in rounds; the ratio of each kind of
    middle is now / before."""

    what: str
    before: Sequence[float]
    now: Sequence[float]

    @property
    def ratio(self) -> float:
        return median(self.now) / max(median(self.before), 1e-3)

    @property
    def best_ratio(self) -> float:
        return min(self.now) / max(min(self.before), 1e-3)

    def is_worse(self, bound: float) -> bool:
        """Whether it became worse than the bound, whatever is compared."""
        return min(self.ratio, self.best_ratio) > bound


def comparisons(results: Sequence[Result], before: str) -> Sequence[Comparison]:
    """What both have done, in the order in which it was done first."""
    seconds: Mapping[str, Mapping[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        seconds[result.what][result.peer].append(result.figures["CPU s"])
    return [
        Comparison(what, each[before], each[THIS])
        for what, each in seconds.items()
        if each[before] and each[THIS]
    ]


def table(found: Sequence[Comparison], before: str, bound: float) -> str:
    """Markdown."""
    lines = [f"| processor seconds | {before} | {THIS} | ratio | best rounds |", "|" + "---|" * 5]
    for each in found:
        mark = " **worse**" if each.is_worse(bound) else ""
        lines.append(
            f"| {each.what} | {median(each.before):.2f} | {median(each.now):.2f} "
            f"| {each.ratio:.2f}{mark} | {each.best_ratio:.2f} |"
        )
    return "\n".join(lines)


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """Another revision, in a folder of its own."""
    place = folder / "revision"
    command = ["git", "-C", str(ROOT), "worktree"]
    try:
        subprocess.run([*command, "add", "--quiet", "--detach", place, revision], check=True)
        yield place
    finally:
        subprocess.run([*command, "remove", "--force", place], check=False)


def contestant(name: str, code: Path) -> Peer:
    """Ourselves, with the code of a folder."""

    def command(place: Place) -> Command:
        ours = OURS.command(place)
        return Command(ours.words, {**ours.environment, "PYTHONPATH": str(code)})

    return replace(OURS, name=name, command=command)


@click.command()
@click.argument("revision", default="HEAD~1")
@click.option("--rounds", default=3, show_default=True)
@click.option("--quick", is_flag=True, help="Less of everything: under two minutes.")
@click.option("--bound", default=1.1, show_default=True, help="The ratio that is still no worse.")
@click.option("--directory", default="/var/tmp", show_default=True, help="On the disk to use.")
def main(revision: str, rounds: int, quick: bool, bound: float, directory: str) -> None:
    """Compare this checkout with REVISION, the one before by default."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-guard-", dir=directory) as place:
        folder, sizes = Path(place), QUICK if quick else SIZES
        (folder / "bucket" / BUCKET).mkdir(parents=True)
        create(folder / "bucket" / BUCKET, sizes)
        with checked_out(revision, folder) as code, serving(folder, folder / "bucket") as origin:
            arena = Arena(folder, origin, sizes)
            both = [contestant(revision, code), contestant(THIS, ROOT)]
            results = list(_measured(arena, both, rounds))
    found = comparisons(results, revision)
    click.echo(table(found, revision, bound))
    sys.exit(any(each.is_worse(bound) for each in found))


def _measured(arena: Arena, both: Sequence[Peer], rounds: int) -> Iterator[Result]:
    for turn in range(rounds):
        for scenario in (large, random_near, tiny, names):
            for peer in both if turn % 2 else both[::-1]:
                yield from scenario(arena, peer)


if __name__ == "__main__":
    main()
