"""TLS with certificates of one's own, proxies, IPv6, and the three kinds of signature."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.emulator import EmulatorProcess
from support.mount import Mount
from support.relays import HttpProxy, TlsFront, make_certificate

pytestmark = pytest.mark.fuse

DATA = b"0123456789" * 50_000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(emulator: EmulatorProcess, certificate: Path) -> Iterator[TlsFront]:
    (emulator.directory / "x").write_bytes(DATA)
    with TlsFront(emulator.port, certificate) as front:
        yield front


@pytest.fixture
def proxy(emulator: EmulatorProcess, tls: TlsFront) -> Iterator[HttpProxy]:
    with HttpProxy(emulator.port, tunnel_to=tls.port) as proxy:
        yield proxy


def refusal(mount: Mount) -> str:
    result = mount.run()
    assert result.returncode == 1, result.stderr
    [line] = result.stderr.splitlines()
    return line


def at(url: str, *more: str) -> dict[str, list[str]]:
    """Options for an endpoint; the last ``--endpoint`` of a command line counts."""
    return {"options": ["--endpoint", url, *more]}


def test_https_with_a_ca_of_ones_own(
    mounts: Callable[..., Mount], tls: TlsFront, certificate: Path
) -> None:
    url = f"https://127.0.0.1:{tls.port}"
    mount = mounts(**at(url, "--ca-bundle", f"{certificate}.crt")).start()
    assert (mount.point / "x").read_bytes() == DATA


def test_https_with_ssl_cert_file(
    mounts: Callable[..., Mount],
    tls: TlsFront,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    mount = mounts(**at(f"https://127.0.0.1:{tls.port}")).start()
    assert (mount.point / "x").read_bytes() == DATA


def test_a_certificate_that_nobody_trusts(mounts: Callable[..., Mount], tls: TlsFront) -> None:
    line = refusal(mounts(**at(f"https://127.0.0.1:{tls.port}")))
    assert "self-signed certificate" in line
    assert "--ca-bundle" in line


def test_https_to_a_port_that_speaks_http(
    emulator: EmulatorProcess, mounts: Callable[..., Mount]
) -> None:
    assert "--endpoint http://" in refusal(mounts(**at(f"https://127.0.0.1:{emulator.port}")))


def test_a_ca_bundle_that_is_none(mounts: Callable[..., Mount], tmp_path: Path) -> None:
    for file in (tmp_path / "missing", Path(__file__)):
        result = mounts(options=["--ca-bundle", str(file)]).run()
        assert result.returncode == 2
        assert result.stderr.startswith(f"ossfs-resume: --ca-bundle {file}: ")


def test_a_proxy_for_http(mounts: Callable[..., Mount], proxy: HttpProxy) -> None:
    """The proxy resolves the name; the bucket's own host is asked for."""
    url = "http://oss-cn-hangzhou.aliyuncs.com"
    mount = mounts(**at(url, "--proxy", f"http://127.0.0.1:{proxy.port}")).start()
    assert (mount.point / "x").read_bytes() == DATA
    assert proxy.asked
    for line in proxy.asked:
        assert re.match(r"(GET|HEAD) http://sample\.oss-cn-hangzhou\.aliyuncs\.com/", line)


def test_a_custom_domain(mounts: Callable[..., Mount], proxy: HttpProxy) -> None:
    """The bucket is in the signature and nowhere in the address."""
    through = ["--proxy", f"http://127.0.0.1:{proxy.port}"]
    mount = mounts(**at("http://sample.example.com", "--addressing", "cname", *through)).start()
    assert (mount.point / "x").read_bytes() == DATA
    assert all(" http://sample.example.com/" in line for line in proxy.asked)
    assert not [line for line in proxy.asked if "com/sample" in line]


def test_a_tunnel_for_https_from_the_environment(
    mounts: Callable[..., Mount],
    proxy: HttpProxy,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    path_style = ["--addressing", "path", "--ca-bundle", f"{certificate}.crt"]
    # A name that the certificate is good for and that is not taken for this machine.
    line = refusal(mounts(**at("https://oss.example.com:8443", *path_style)))
    assert set(proxy.asked) == {"CONNECT oss.example.com:8443 HTTP/1.1"}
    assert "through the proxy 127.0.0.1" in line
    assert "Hostname mismatch" in line
    mount = mounts(**at("https://127.0.0.1", "--proxy", f"127.0.0.1:{proxy.port}", *path_style))
    assert (mount.start().point / "x").read_bytes() == DATA
    assert proxy.asked[-1] == "CONNECT 127.0.0.1:443 HTTP/1.1"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_reached_by_tls(
    mounts: Callable[..., Mount], proxy: HttpProxy, certificate: Path, scheme: str
) -> None:
    """For http it is sent the requests, for https it is asked for a tunnel: TLS inside of TLS."""
    with TlsFront(proxy.port, certificate) as secure:
        own_proxy = ["--proxy", f"https://localhost:{secure.port}", "--addressing", "path"]
        trusted = ["--ca-bundle", f"{certificate}.crt"]
        mount = mounts(**at(f"{scheme}://127.0.0.1", *own_proxy, *trusted)).start()
        assert (mount.point / "x").read_bytes() == DATA
        assert all(
            line.startswith(("CONNECT ", "GET http://", "HEAD http")) for line in proxy.asked
        )
        assert any(line.startswith("CONNECT ") for line in proxy.asked) == (scheme == "https")
        line = refusal(mounts(**at("https://oss.example.com", *own_proxy)))
        assert "through the proxy https://localhost:" in line
        assert "TLS with the proxy: " in line
        assert "self-signed" in line
        assert "--ca-bundle" in line


def test_a_proxy_of_a_kind_that_is_not_supported(
    mounts: Callable[..., Mount], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5h://127.0.0.1:1080")
    result = mounts(**at("https://oss.example.com")).run()
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "all_proxy: socks5h proxies are not supported: give an http or https one" in line


def test_no_proxy(
    emulator: EmulatorProcess,
    mounts: Callable[..., Mount],
    proxy: HttpProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", ".invalid")
    assert "nowhere.invalid" in refusal(mounts(**at("http://oss.nowhere.invalid")))
    mounts().start()  # 127.0.0.1 is this machine
    assert proxy.asked == []


def test_a_proxy_with_a_password(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], monkeypatch: pytest.MonkeyPatch
) -> None:
    (emulator.directory / "x").write_bytes(DATA)
    password = b64encode(b"me:VERYSECRET").decode()
    with HttpProxy(emulator.port, password=password) as proxy:
        url = "http://oss-cn-hangzhou.aliyuncs.com"
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        line = refusal(mounts(**at(url)))
        assert "HTTP 407" in line
        assert "set https_proxy to http://USER:PASSWORD@HOST" in line
        monkeypatch.setenv("http_proxy", f"http://me:VERYSECRET@127.0.0.1:{proxy.port}")
        mount = mounts(**at(url, "--log-level", "debug")).start()
        assert (mount.point / "x").read_bytes() == DATA
        assert "VERYSECRET" not in mount.log.read_text()
        given = mounts(options=["--proxy", f"http://me:VERYSECRET@127.0.0.1:{proxy.port}"]).run()
        assert given.returncode == 2
        assert "https_proxy" in given.stderr
        assert "VERYSECRET" not in given.stderr


def test_a_proxy_with_a_password_before_a_tunnel(
    emulator: EmulatorProcess, mounts: Callable[..., Mount], monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpProxy(emulator.port, password="nobody's") as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        line = refusal(mounts(**at("https://oss-cn-hangzhou.aliyuncs.com")))
    assert "407 Proxy Authentication Required; the proxy wants a user: set https_proxy" in line


def test_a_proxy_that_is_not_there(mounts: Callable[..., Mount]) -> None:
    line = refusal(mounts(**at("http://oss.example.com", "--proxy", "http://127.0.0.1:1")))
    assert "through the proxy 127.0.0.1:1" in line


def test_ipv6(start_emulator: Callable[..., EmulatorProcess], tmp_path: Path) -> None:
    emulator = start_emulator(options=["--host", "127.0.0.1"])
    port = emulator.port
    emulator.stop()
    (emulator.directory / "x").write_bytes(DATA)
    with (
        EmulatorSix(emulator.directory, port=port, options=["--host", "::1"]) as six,
        Mount(six, tmp_path, options=["--endpoint", f"http://[::1]:{port}"]) as mount,
    ):
        assert (mount.point / "x").read_bytes() == DATA


class EmulatorSix(EmulatorProcess):
    """On the other loopback address; it has no control resource for us there."""

    @property
    def url(self) -> str:
        return f"http://[::1]:{self.port}"


@pytest.mark.parametrize("version", ["v1", "anonymous"])
def test_other_signatures(
    start_emulator: Callable[..., EmulatorProcess], tmp_path: Path, version: str
) -> None:
    option = {"v1": "--allow-v1", "anonymous": "--anonymous"}[version]
    emulator = start_emulator(options=[option])
    (emulator.directory / "a b").mkdir()
    (emulator.directory / "a b" / "ü+%").write_bytes(DATA)
    with Mount(emulator, tmp_path, options=["--signature", version]) as mount:
        assert [path.name for path in (mount.point / "a b").iterdir()] == ["ü+%"]
        assert (mount.point / "a b" / "ü+%").read_bytes() == DATA


def test_a_signature_of_version_1_where_only_version_4_counts(
    mounts: Callable[..., Mount],
) -> None:
    line = refusal(mounts(options=["--signature", "v1"]))
    assert "try another --signature" in line


def test_a_wrong_secret_with_version_1(
    start_emulator: Callable[..., EmulatorProcess], tmp_path: Path
) -> None:
    emulator = start_emulator(options=["--allow-v1"])
    emulator.access_key_secret = "wrong"
    assert "SignatureDoesNotMatch" in refusal(
        Mount(emulator, tmp_path, options=["--signature", "v1"])
    )
