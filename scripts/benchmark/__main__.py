"""The command line of the benchmark."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import report
from files import Sizes, create
from origin import BUCKET, serving
from readers import WrongBytes
from scenarios import SCENARIOS, Arena, Result, limits

from peers import LEFT_OUT, OURS, PEERS, Peer


@click.command()
@click.option("--rounds", default=3, show_default=True, help="How often everybody takes a turn.")
@click.option("--quick", is_flag=True, help="Less of everything, once: under two minutes.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["limits", *(scenario.__name__ for scenario in SCENARIOS)]),
    help="This scenario alone, and others named likewise.",
)
@click.option(
    "--peers",
    "wanted",
    multiple=True,
    type=click.Choice([peer.name for peer in PEERS]),
    help="This contestant beside us, and others named likewise.",
)
@click.option("--directory", default=tempfile.gettempdir(), help="A directory on the disk to use.")
@click.option("--output", default=".", help="Where bench.md, bench.json and bench.png go.")
def main(
    rounds: int,
    quick: bool,
    only: tuple[str, ...],
    wanted: tuple[str, ...],
    directory: str,
    output: str,
) -> None:
    """Measure everybody who is installed, in turns, and write medians."""
    sizes, rounds = (Sizes.quick(), 1) if quick else (Sizes(), rounds)
    peers = [peer for peer in PEERS if peer is OURS or not wanted or peer.name in wanted]
    missing = [peer.name for peer in peers if not peer.is_installed]
    peers = [peer for peer in peers if peer.is_installed]
    notes = [f"not on this machine: {', '.join(missing)}"] if missing else []
    notes.append(LEFT_OUT)
    for needed in (directory, output):
        Path(needed).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=directory))
    try:
        (folder / "bucket" / BUCKET).mkdir(parents=True)
        create(folder / "bucket" / BUCKET, sizes)
        with serving(folder, folder / "bucket") as origin:
            arena = Arena(folder, origin, sizes)
            results = _measure(arena, peers, rounds, set(only))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    click.echo(report.write(results, notes, Path(output)))


def _measure(arena: Arena, peers: list[Peer], rounds: int, only: set[str]) -> list[Result]:
    results: list[Result] = []
    for turn in range(rounds):
        order = peers[turn % len(peers) :] + peers[: turn % len(peers)]
        if not only or "limits" in only:
            results += _taken("limits", limits(arena))
        for scenario in SCENARIOS:
            if only and scenario.__name__ not in only:
                continue
            for peer in order:
                results += _taken(f"{scenario.__name__} {peer.name}", scenario(arena, peer))
    return results


def _taken(what: str, measuring: Iterator[Result]) -> list[Result]:
    """All results up to a failure, which is told and ends nobody else's turn."""
    results: list[Result] = []
    began = time.monotonic()
    try:
        results.extend(measuring)
    except (RuntimeError, WrongBytes, OSError, subprocess.SubprocessError) as error:
        click.echo(f"{what}: {error}", err=True)
    click.echo(f"{what}: {time.monotonic() - began:.1f} s", err=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
