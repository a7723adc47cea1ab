"""Faults on request: the pure decision, then each fault shown on the wire. Mischief: the pure
choice, then what each kind looks like on the wire.
"""

import http.client
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.emulator.faults import Faults, Mischief, Pacer, choose, decide
from ossfs_resume.emulator.request import Kind
from support.emulator import EmulatorProcess
from support.waiting import PATIENCE_S, eventually

MIB = 1024 * 1024


@given(st.integers(1, 7), st.integers(1, 50), st.sampled_from([(), (Kind.GET,), (Kind.LIST,)]))
def test_every_nth_of_its_kinds_fails(every: int, ordinal: int, kinds: tuple[Kind, ...]) -> None:
    """Of the chosen kinds exactly each n-th request fails, and none of the others."""
    faults = Faults(fail_every=every, kinds=kinds)
    decision = decide(faults, Kind.GET, {Kind.GET: ordinal})
    assert decision.fail == (Kind.LIST not in kinds and ordinal % every == 0)


def test_every_nth_is_late_beside_the_latency_of_all() -> None:
    faults = Faults(latency_ms=30, late_every=3, late_ms=2000, kinds=(Kind.GET,))
    delays = [decide(faults, Kind.GET, {Kind.GET: n}).delay_s for n in range(1, 7)]
    assert delays == [0.03, 0.03, 2.03, 0.03, 0.03, 2.03]
    assert decide(faults, Kind.LIST, {Kind.GET: 3, Kind.LIST: 3}).delay_s == 0.03


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"nothing": 1}, "nothing"),
        ({"hang": "sometimes"}, "hang"),
        ({"fail_status": 200}, "fail_status"),
        ({"latency_ms": "1"}, "latency_ms"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"kinds": ["fly"]}, "fly"),
        ({"kinds": "get"}, "kinds"),
        ({"fail_every": True}, "fail_every"),
    ],
)
def test_wrong_faults_are_refused(values: dict[str, object], named: str) -> None:
    """An unknown name or a value that does not fit is an error that names it, not ignored."""
    with pytest.raises(ValueError, match=named):
        Faults.from_json(values)


def test_faults_survive_json() -> None:
    """What GET /-/faults shows can be PUT back."""
    faults = Faults(latency_ms=1.5, kinds=(Kind.GET, Kind.LIST), stall_after_bytes=7, hang="data")
    assert Faults.from_json(faults.as_json()) == faults


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 0.04)), min_size=1))
def test_a_pacer_keeps_its_rate(sent: list[tuple[int, float]]) -> None:
    """Bytes take their size divided by the rate, however late each sender wakes up."""
    pacer, now, rate = Pacer(), 100.0, 1e5
    for size, lateness_s in sent:
        now += pacer.reserve(size, rate, now) + lateness_s
    elapsed_s = now - sent[-1][1] - 100.0
    assert elapsed_s >= sum(size for size, _ in sent) / rate - 1e-6
    assert elapsed_s <= sum(size for size, _ in sent) / rate + max(late for _, late in sent) + 1e-6


def test_a_pacer_saves_no_time() -> None:
    """After a pause the next bytes take as long as the first ones did."""
    pacer = Pacer()
    assert pacer.reserve(100, 1000, now=5.0) == pytest.approx(0.1)
    assert pacer.reserve(100, 1000, now=9.0) == pytest.approx(0.1)


@pytest.fixture
def endpoint(emulator: EmulatorProcess) -> EmulatorProcess:
    """An emulator with one object of 4 MiB called ``o``."""
    (emulator.directory / "o").write_bytes(bytes(range(256)) * (4 * MIB // 256))
    return emulator


def seconds(action: object, *arguments: object) -> float:
    started = time.monotonic()
    action(*arguments)  # type: ignore[operator]
    return time.monotonic() - started


def get(endpoint: EmulatorProcess, key: str = "o") -> bytes:
    return endpoint.request("GET", endpoint.target(key)).body


@contextmanager
def started(endpoint: EmulatorProcess, key: str = "o") -> Iterator[http.client.HTTPConnection]:
    """A connection over which a GET was sent."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=PATIENCE_S)
    connection.request("GET", endpoint.target(key))
    yield connection
    connection.close()


def test_latency(endpoint: EmulatorProcess) -> None:
    """Each answer comes the given time later."""
    endpoint.faults(latency_ms=120)
    assert seconds(endpoint.request, "HEAD", endpoint.target("o")) >= 0.12


@pytest.mark.parametrize("fault", ["connection_bytes_per_s", "total_bytes_per_s"])
def test_a_rate_limit_of_one_connection(endpoint: EmulatorProcess, fault: str) -> None:
    """4 MiB at 8 MiB/s take half a second; how much longer depends on the machine's load."""
    endpoint.faults(**{fault: 8 * MIB})
    assert seconds(get, endpoint) >= 0.49


def together(endpoint: EmulatorProcess, count: int) -> None:
    threads = [Thread(target=get, args=(endpoint,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_rate_limits_of_several_connections(endpoint: EmulatorProcess) -> None:
    """All connections share a total rate, but each has its own connection rate."""
    endpoint.faults(total_bytes_per_s=8 * MIB)
    assert seconds(together, endpoint, 2) >= 0.98
    endpoint.faults(connection_bytes_per_s=8 * MIB)
    assert 0.49 <= seconds(together, endpoint, 12) < 12 * 0.49  # what they would take in turn


def test_every_nth_request_fails(endpoint: EmulatorProcess) -> None:
    """Every third GET fails with the given status and code, a HEAD between them never."""
    endpoint.faults(fail_every=3, fail_status=429, fail_code="TotalQpsLimitExceeded", kinds=["get"])
    answers = []
    for _ in range(6):
        answers.append(endpoint.request("GET", endpoint.target("o")))
        assert endpoint.request("HEAD", endpoint.target("o")).status == 200
    assert [answer.status for answer in answers] == [200, 200, 429, 200, 200, 429]
    assert b"<Code>TotalQpsLimitExceeded</Code>" in answers[2].body


def test_truncation(endpoint: EmulatorProcess) -> None:
    """The body ends after so many bytes, although Content-Length promised more."""
    endpoint.faults(truncate_after_bytes=300_000)
    with started(endpoint) as connection:
        response = connection.getresponse()
        assert response.getheader("Content-Length") == str(4 * MIB)
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
    assert len(caught.value.partial) == 300_000
    headers = {"Range": "bytes=0-99999"}
    assert len(endpoint.request("GET", endpoint.target("o"), headers=headers).body) == 100_000


def test_a_stall_ends_when_lifted(endpoint: EmulatorProcess) -> None:
    """The body stops after so many bytes and goes on, complete, once the fault is lifted."""
    endpoint.faults(stall_after_bytes=100_000)
    with started(endpoint) as connection:
        response = connection.getresponse()
        assert len(response.read(100_000)) == 100_000
        connection.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1, socket.MSG_PEEK)
        assert endpoint.statistics()["open_streams"] == 1
        assert endpoint.statistics()["bytes"] == 100_000
        connection.sock.settimeout(PATIENCE_S)
        endpoint.faults()
        assert len(response.read()) == 4 * MIB - 100_000


@pytest.mark.parametrize(
    ("hang", "held", "free"),
    [("data", ["get"], ["head", "list"]), ("metadata", ["head", "list"], ["get"])],
)
def test_hanging(endpoint: EmulatorProcess, hang: str, held: list[str], free: list[str]) -> None:
    """Data and metadata are held back separately, until lifted."""
    requests = {
        "get": ("GET", endpoint.target("o")),
        "head": ("HEAD", endpoint.target("o")),
        "list": ("GET", endpoint.target()),
    }
    endpoint.faults(hang=hang)
    answers: list[int] = []
    threads = [
        Thread(target=lambda kind=kind: answers.append(endpoint.request(*requests[kind]).status))
        for kind in held
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(endpoint.requests()) == len(held))
    assert [endpoint.request(*requests[kind]).status for kind in free] == [200] * len(free)
    assert answers == []
    endpoint.faults()
    for thread in threads:
        thread.join()
    assert answers == [200] * len(held)


def test_a_client_that_leaves_a_hanging_request_is_forgotten(endpoint: EmulatorProcess) -> None:
    """Its stream is not counted as open, and nothing is sent for it later."""
    endpoint.faults(stall_after_bytes=0)
    with started(endpoint) as connection:
        connection.getresponse()
        assert endpoint.statistics()["open_streams"] == 1
    eventually(lambda: endpoint.statistics()["open_streams"] == 0)
    assert endpoint.statistics()["bytes"] == 0


def test_connection_reset(endpoint: EmulatorProcess) -> None:
    """Every second request gets a TCP reset instead of an answer."""
    endpoint.faults(reset_every=2, kinds=["get"])
    assert len(get(endpoint)) == 4 * MIB
    with pytest.raises(ConnectionResetError):
        get(endpoint)
    assert [record["status"] for record in endpoint.requests("get")] == [200, 0]


def test_an_object_that_changes_between_parts(endpoint: EmulatorProcess) -> None:
    """After two GETs the ETag is another: If-Match fails, HEAD and listing show the new one."""
    old = endpoint.request("HEAD", endpoint.target("o")).headers["etag"]
    endpoint.faults(change_after_requests=2)
    part = {"If-Match": old, "Range": "bytes=0-9"}
    statuses = [
        endpoint.request("GET", endpoint.target("o"), headers=part).status for _ in range(3)
    ]
    assert statuses == [206, 206, 412]
    new = endpoint.request("HEAD", endpoint.target("o")).headers["etag"]
    assert new != old
    assert new.strip('"').encode() in endpoint.request("GET", endpoint.target()).body


def test_faults_at_start(start_emulator: object) -> None:
    """``--fault`` takes the same names as the control resource."""
    emulator = start_emulator(
        anonymous=True,
        options=[
            "--fault",
            "fail_every=1",  # type: ignore[operator]
            "--fault",
            "kinds=get,list",
        ],
    )
    assert emulator.request("GET", emulator.target()).status == 503
    assert emulator.request("HEAD", emulator.target("o")).status == 404


KINDS = (Mischief.FAIL, Mischief.LIE, Mischief.WHOLE)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_each_kind_meets_its_share_of_the_requests(seed: int) -> None:
    met = Counter(choose(KINDS, 0.1, seed, ordinal)[0] for ordinal in range(3000))
    assert all(200 < met[kind] < 400 for kind in KINDS)
    assert met[None] == 3000 - sum(met[kind] for kind in KINDS)


def test_the_same_seed_makes_the_same_choices() -> None:
    assert choose(KINDS, 0.3, 5, 17) == choose(KINDS, 0.3, 5, 17)
    assert choose((), 0.3, 5, 17) == (None, 0)


@pytest.mark.parametrize("values", [{"mischief": ["joy"]}, {"mischief_share": 1.5}])
def test_what_cannot_be_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Faults.from_json({"mischief": ["lie"]} | values)


@pytest.mark.parametrize(
    ("kind", "status", "header", "value"),
    [
        ("whole", 200, "content-length", "4096"),
        ("shift", 206, "content-range", "bytes 99-198/4096"),
        ("lie", 206, "content-range", "bytes 101-200/4096"),
        ("gzip", 200, "content-encoding", "gzip"),
        ("html", 502, "content-type", "text/html"),
        ("portal", 200, "content-type", "text/html"),
        ("redirect", 302, "location", "/sample/o"),
        ("fail", 503, "content-type", "application/xml"),
    ],
)
def test_a_range_meets_mischief(
    emulator: EmulatorProcess, kind: str, status: int, header: str, value: str
) -> None:
    (emulator.directory / "o").write_bytes(bytes(range(256)) * 16)
    emulator.faults(mischief=[kind], mischief_share=1.0)
    answer = emulator.request("GET", emulator.target("o"), headers={"Range": "bytes=100-199"})
    assert (answer.status, answer.headers[header]) == (status, value)
