"""Many processes that read from mounts without end and compare each byte."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from soaks.board import DIED, ERROR, WRONG, Board, Finding
from soaks.manners import Manner
from support.blocks import OpenFile, WrongBytes
from support.waiting import eventually

_FORK = multiprocessing.get_context("fork")
_PAUSE_S = 0.05
_END_S = 10.0


class Readers:
    """``count`` readers of the objects of ``sizes`` under all of ``points``, until `stop`.

    Reader N has manner N modulo their number: a run with one seed differs from another of the same
    only by what the machine does.
    """

    def __init__(
        self,
        place: Path,
        points: Sequence[Path],
        sizes: Mapping[str, int],
        manners: Sequence[Manner],
        *,
        count: int,
        seed: int,
    ) -> None:
        self.board = Board(place, len(sizes), len(points), count)
        self._points = points
        self._sizes = sizes
        self._names = list(sizes)
        self._manners = manners
        self._seed = seed
        self._born = 0
        self._parent = os.getpid()
        self._processes = [self._start(number) for number in range(count)]

    # --- in the soak ---

    def _start(self, number: int) -> multiprocessing.Process:
        self._born += 1
        chance = random.Random(f"{self._seed} {self._born}")
        process = _FORK.Process(target=self._read_on, args=(number, chance), daemon=True)
        process.start()
        return process

    def findings(self) -> list[Finding]:
        """What was met since the last call."""
        self._replace_the_dead()
        return self.board.findings()

    def _replace_the_dead(self) -> None:
        for number, process in enumerate(self._processes):
            if process.exitcode is not None:
                if not self.board.is_excused(number):
                    name = self._manners[number % len(self._manners)].__name__
                    self.board.report(
                        Finding(DIED, f"{name}: status {process.exitcode}", process.exitcode)
                    )
                self.board.calls[number] = self.board.reading[number] = 0
                self._processes[number] = self._start(number)

    def wait_for_passes(self, count: int, timeout_s: float) -> None:
        """Return when each reader has read ``count`` files more. Raises AssertionError."""
        wanted = [passes + count for passes in self.board.passes]

        def have_passed() -> bool:
            self._replace_the_dead()
            return all(map(int.__ge__, list(self.board.passes), wanted))

        eventually(have_passed, timeout_s)

    @property
    def compared(self) -> int:
        """Bytes, in all."""
        return sum(self.board.compared)

    def pause(self) -> None:
        """Have everybody wait once the file that is being read has ended."""
        self.board.is_paused.value = True

    def are_idle(self) -> bool:
        """Whether nobody reads; call it after `pause`."""
        self._replace_the_dead()
        return not any(self.board.reading)

    def resume(self) -> None:
        """Take `pause` back."""
        self.board.is_paused.value = False

    def stop(self) -> int:
        """End them all; how many did not end by themselves."""
        self.board.is_over.value = True
        deadline = time.monotonic() + _END_S
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
        late = [process for process in self._processes if process.exitcode is None]
        for process in late:
            process.kill()
        return len(late)

    # --- in a reader ---

    def _read_on(self, number: int, chance: random.Random) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        board, manner = self.board, self._manners[number % len(self._manners)]
        while not board.is_over.value and os.getppid() == self._parent:
            mount, index = chance.randrange(len(self._points)), chance.randrange(len(self._names))
            board.mounts[number], board.met[number] = mount, board.generations[mount]
            board.reading[number] = not board.is_paused.value and board.is_there(mount)
            if not board.reading[number]:
                time.sleep(_PAUSE_S)
                continue
            try:
                self._read(number, manner, mount, index, chance)
            except WrongBytes as error:
                board.report(Finding(WRONG, f"{manner.__name__}, mount {mount}: {error}"))
            except OSError as error:
                if not board.is_excused(number):
                    text = f"{manner.__name__}, mount {mount}, {self._names[index]}: {error}"
                    board.report(Finding(ERROR, text, error.errno or 0))
                    time.sleep(_PAUSE_S)
            board.passes[number] += 1

    def _read(
        self, number: int, manner: Manner, mount: int, index: int, chance: random.Random
    ) -> None:
        name = self._names[index]
        path, file = self._points[mount] / name, OpenFile(name)
        waiting = partial(self.board.waiting, number)
        for offset, data in manner(path, self._sizes[name], chance, waiting):
            file.check(offset, data, self.board.newest[index])
            self.board.compared[number] += len(data)
        if chance.random() < 0.5:
            with waiting():
                _forget(path)


def _forget(path: Path) -> None:
    """Have the kernel ask the mount the next time."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
