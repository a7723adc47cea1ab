"""The rules of window, rate and places together, on a link that takes time: a simulation."""

from collections import deque
from dataclasses import dataclass, field

import pytest

from ossfs_resume.fetch import readahead, scheduler
from ossfs_resume.fetch.rates import RateMeter
from ossfs_resume.fetch.readahead import KIB, MIB, AccessPattern
from ossfs_resume.fetch.scheduler import Priority, concurrency, least_urgent

PART = 256 * KIB
READ = 512 * KIB
TICK_S = 0.001
CONNECTIONS = 32
REQUEST = 4 * MIB
WINDOW = 128 * MIB


@dataclass
class Request:
    parts: range
    priority: Priority
    answers_at: float = 0.0
    bytes_here: float = 0.0


@dataclass
class Link:
    """A sequential reader, two of whose reads are under way, of an object behind a link."""

    latency_s: float
    connection_rate: float
    size: int
    now: float = 0.0
    meter: RateMeter = field(default_factory=RateMeter)
    queue: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    present: set[int] = field(default_factory=set)
    claimed: set[int] = field(default_factory=set)
    pattern: AccessPattern = field(default_factory=AccessPattern)

    def copy(self) -> float:
        """Seconds that the whole takes."""
        reads: deque[int] = deque()
        offset = 0
        while offset < self.size or reads:
            while offset < self.size and len(reads) < 2:
                self._read(offset)
                reads.append(offset)
                offset += READ
            while reads and self._has(reads[0]):
                reads.popleft()
            self._tick()
        return self.now

    def _read(self, offset: int) -> None:
        run_bytes = self.pattern.advance(offset, READ)
        ahead = readahead.window(run_bytes, WINDOW)
        step = readahead.request_bytes(ahead, REQUEST)
        round_up = not readahead.is_careful(run_bytes)
        target = readahead.target(offset + READ, ahead, step, self.size, round_up=round_up)
        wanted = range(offset // PART, (offset + READ) // PART)
        self._claim(wanted, REQUEST, Priority.DEMAND)
        if target > self.pattern.planned:
            parts = readahead.parts_between(self.pattern.planned, target, wanted.start, PART)
            self.pattern.planned = target
            self._claim(parts, step, Priority.READ_AHEAD)

    def _claim(self, parts: range, step: int, priority: Priority) -> None:
        free = scheduler.unclaimed([parts], self.claimed.__contains__)
        for each in list(scheduler.requests(free, scheduler.parts_in(step, PART))):
            self.claimed.update(each)
            self.queue.append(Request(each, priority))

    def _has(self, offset: int) -> bool:
        return all(part in self.present for part in range(offset // PART, (offset + READ) // PART))

    def _tick(self) -> None:
        self.now += TICK_S
        for request in list(self.running):
            if self.now >= request.answers_at:
                request.bytes_here += self.connection_rate * TICK_S
                self.meter.add(int(self.connection_rate * TICK_S), self.now)
                count = min(int(request.bytes_here // PART), len(request.parts))
                self.present.update(request.parts[:count])
                if count == len(request.parts):
                    self.running.remove(request)
        self._start()

    def _start(self) -> None:
        while self.queue:
            allowed = concurrency(self.meter.rate, PART, CONNECTIONS)
            demanded = sum(each.priority is Priority.DEMAND for each in self.running)
            lowest = least_urgent(len(self.running), demanded, allowed, CONNECTIONS)
            following = min(self.queue, key=lambda each: each.priority)
            if lowest is None or following.priority > lowest:
                return
            if not self.running:
                self.meter.begin(self.now)
            self.queue.remove(following)
            following.answers_at = self.now + self.latency_s
            self.running.append(following)


@pytest.mark.parametrize(
    ("latency_s", "rate", "most_s"),
    [
        # 28 connections of 50 MB/s bring a GiB in 0.77 s.
        (0.03, 50e6, 1.4),
        # The reader takes a mebibyte a tick at most.
        (0.001, 400e6, 1.1),
        (0.2, 50e6, 3.9),
    ],
)
def test_a_cold_copy_of_a_gibibyte_loses_little_by_being_careful_at_first(
    latency_s: float, rate: float, most_s: float
) -> None:
    seconds = Link(latency_s, rate, 1 << 30).copy()
    print(f"{latency_s * 1000:g} ms, {rate / 1e6:g} MB/s a connection: {seconds:.2f} s")
    assert seconds <= most_s
