"""Which proxy, and for whom none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.errors import SettingsError
from ossfs_resume.oss.proxy import Proxy, choose, is_excepted, parse

OSS = ("https", "b.oss-cn-hangzhou.aliyuncs.com", 443)


@pytest.mark.parametrize(
    ("given_option", "environment", "expected"),
    [
        ("", {}, None),
        ("", {"https_proxy": "http://p:1"}, Proxy("p", 1)),
        ("", {"HTTPS_PROXY": "p:1"}, Proxy("p", 1)),
        ("", {"https_proxy": "a:1", "HTTPS_PROXY": "b:1"}, Proxy("a", 1)),
        ("", {"http_proxy": "p:1"}, None),
        ("", {"all_proxy": "p:1"}, Proxy("p", 1)),
        ("", {"https_proxy": "p:1", "no_proxy": "aliyuncs.com"}, None),
        ("", {"https_proxy": "p:1", "NO_PROXY": "*"}, None),
        ("none", {"https_proxy": "p:1"}, None),
        ("http://q", {"https_proxy": "p:1", "no_proxy": "*"}, Proxy("q", 80)),
        ("", {"https_proxy": "http://[fd00::1]:3128/"}, Proxy("fd00::1", 3128)),
        ("", {"https_proxy": "https://p"}, Proxy("p", 443, is_secure=True)),
        ("", {"https_proxy": "http://a%40b:c@p:1"}, Proxy("p", 1, "Basic YUBiOmM=")),
    ],
)
def test_choose(given_option: str, environment: dict[str, str], expected: Proxy | None) -> None:
    assert choose(given_option, environment, *OSS) == expected


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "expected"),
    [
        ("localhost", 80, "", True),
        ("127.8.9.10", 80, "", True),
        ("::1", 80, "", True),
        ("a.example.com", 80, "example.com", True),
        ("a.example.com", 80, ".example.com", True),
        ("a.example.com", 80, "*.example.com", True),
        ("example.com", 80, "x, EXAMPLE.com ,y", True),
        ("badexample.com", 80, "example.com", False),
        ("example.com", 80, "example.com:80", True),
        ("example.com", 80, "example.com:81", False),
        ("10.1.2.3", 80, "10.0.0.0/8", True),
        ("11.1.2.3", 80, "10.0.0.0/8", False),
        ("example.com", 80, "10.0.0.0/8", False),
        ("fd00::1", 80, "fd00::1", True),
        ("example.com", 80, "", False),
        ("example.com", 80, ",,.", False),
    ],
)
def test_exceptions(host: str, port: int, no_proxy: str, expected: bool) -> None:
    assert is_excepted(host, port, no_proxy) is expected


@pytest.mark.parametrize("text", ["http://", "http://p:x", "socks5://p:1", "ftp://p:1"])
def test_what_is_no_proxy_of_ours(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^https_proxy"):
        parse(text, "https_proxy")


@given(st.text(max_size=40))
def test_no_text_is_too_odd_and_no_password_is_repeated(text: str) -> None:
    said = ""
    try:
        found = parse(f"http://u:VERYSECRET@{text}", "x")
        said = f"{found} {found!r}"
        choose("", {"all_proxy": text, "no_proxy": text}, *OSS)
    except SettingsError as error:
        said = str(error)
    assert "VERYSECRET" not in said


def test_the_request_for_a_tunnel() -> None:
    assert Proxy("p", 1, "Basic x").connect_request("fd00::1", 443) == (
        b"CONNECT [fd00::1]:443 HTTP/1.1\r\nhost: [fd00::1]:443\r\n"
        b"proxy-authorization: Basic x\r\n\r\n"
    )
