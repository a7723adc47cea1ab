"""``ossfs-resume check``: one line a step, what is wrong and what to do."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import launcher
from support.emulator import EmulatorProcess
from support.mount import PROGRAM
from support.relays import TlsFront, make_certificate

STEPS = [
    "/dev/fuse", "fusermount3", "cache", "DNS", "TCP", "TLS", "HTTP", "clock", "credentials",
    "list", "head", "ranged get", "CRC header",
]  # fmt: skip
LOCAL = STEPS[:3]


class Check:
    """Runs the command against an emulator, with the emulator's key unless another is given."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self.emulator = emulator
        self.status = -1

    def run(self, *options: str, source: str = "", **environment: str) -> str:
        """What it prints."""
        arguments = [
            "check", "--endpoint", self.emulator.url, "--region", self.emulator.region,
            "--cache-free", "0", *options, source or f"oss://{self.emulator.bucket}",
        ]  # fmt: skip
        result = launcher.run(arguments, self.emulator.environment | environment)
        assert result.stderr == ""
        self.status = result.returncode
        return result.stdout

    def outcomes(self, *options: str, **more: str) -> dict[str, tuple[str, str]]:
        """Step to outcome and text."""
        self.document: dict[str, Any] = json.loads(self.run("--json", *options, **more))
        steps = self.document["steps"]
        assert [step["step"] for step in steps] == STEPS
        return {step["step"]: (step["outcome"], step["text"]) for step in steps}


@pytest.fixture
def check(start_emulator: Callable[..., EmulatorProcess]) -> Check:
    emulator = start_emulator()
    (emulator.directory / "deep").mkdir()
    (emulator.directory / "deep/file").write_bytes(b"x" * 100_000)
    (emulator.directory / "empty").touch()
    return Check(emulator)


def test_all_is_well(check: Check) -> None:
    lines = check.run().splitlines()
    assert check.status == 0
    assert [line[:12].strip() for line in lines] == STEPS
    assert [line.split(maxsplit=2)[1] for line in lines[:2]] == ["OK", "OK"]
    assert "can be opened" in lines[0]
    assert " free" in lines[2]
    assert "key emulator from OSS_ACCESS_KEY_ID, signature v4" in lines[8]
    assert "2 objects below oss://sample" in lines[9]
    assert "deep/file: 100000 bytes" in lines[10]
    assert "65536 of 100000 bytes" in lines[11]


def test_as_json(check: Check) -> None:
    outcomes = check.outcomes()
    assert check.status == 0
    assert check.document["ok"] is True
    assert check.document["endpoint"] == check.emulator.url
    assert outcomes["TLS"][0] == "warning"
    assert {o for step, (o, _) in outcomes.items() if step != "TLS"} == {"ok"}
    assert check.emulator.access_key_secret not in json.dumps(check.document)


def test_a_name_that_does_not_resolve(check: Check) -> None:
    outcomes = check.outcomes("--endpoint", "http://oss.nowhere.invalid")
    assert check.status == 1
    assert outcomes["DNS"][0] == "wrong"
    assert "check --endpoint" in outcomes["DNS"][1]
    assert outcomes["credentials"][0] == "ok"
    for step in set(STEPS) - {"DNS", "credentials"} - set(LOCAL):
        assert outcomes[step] == ("skipped", "because of DNS")


def test_nobody_listens(check: Check) -> None:
    outcomes = check.outcomes("--endpoint", "http://127.0.0.1:1")
    assert outcomes["TCP"][0] == "wrong"
    assert "refused" in outcomes["TCP"][1]
    assert outcomes["list"] == ("skipped", "because of TCP")


def test_a_certificate_that_nobody_trusts(check: Check, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with TlsFront(check.emulator.port, certificate) as front:
        url = f"https://127.0.0.1:{front.port}"
        outcomes = check.outcomes("--endpoint", url)
        assert outcomes["TLS"][0] == "wrong"
        assert "--ca-bundle" in outcomes["TLS"][1]
        assert outcomes["HTTP"] == outcomes["clock"] == ("skipped", "because of TLS")
        outcomes = check.outcomes("--endpoint", url, "--ca-bundle", f"{certificate}.crt")
        assert check.status == 0
        assert outcomes["TLS"][0] == "ok"
        assert "TLSv1.3" in outcomes["TLS"][1]


def test_no_credentials(check: Check, tmp_path: Path) -> None:
    nobody = {"OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": "", "HOME": str(tmp_path)}
    nobody["ALIBABA_CLOUD_ECS_METADATA_DISABLED"] = "true"
    outcomes = check.outcomes(**nobody)
    assert outcomes["credentials"][0] == "wrong"
    assert "OSS_ACCESS_KEY_ID" in outcomes["credentials"][1]
    assert outcomes["clock"][0] == "ok"
    assert outcomes["list"] == ("skipped", "because of credentials")


def test_a_wrong_secret(check: Check) -> None:
    outcomes = check.outcomes(OSS_ACCESS_KEY_SECRET="wrong")
    assert check.status == 1
    assert outcomes["list"][0] == "wrong"
    assert "SignatureDoesNotMatch" in outcomes["list"][1]
    assert "check the secret of the key from OSS_ACCESS_KEY_ID" in outcomes["list"][1]
    assert outcomes["head"] == ("skipped", "because of list")


def test_a_key_that_may_not_list(check: Check) -> None:
    """A warning, and an object named by hand is tried all the same."""
    check.emulator.faults(fail_every=1, kinds=["list"], fail_status=403, fail_code="AccessDenied")
    outcomes = check.outcomes()
    assert check.status == 0
    assert outcomes["list"][0] == "warning"
    assert "known paths open" in outcomes["list"][1]
    assert outcomes["head"][0] == "skipped"
    assert "oss://BUCKET/KEY" in outcomes["head"][1]
    outcomes = check.outcomes(source="oss://sample/deep/file")
    assert outcomes["head"][0] == outcomes["ranged get"][0] == outcomes["CRC header"][0] == "ok"


def test_a_bucket_that_is_empty(start_emulator: Callable[..., EmulatorProcess]) -> None:
    check = Check(start_emulator())
    outcomes = check.outcomes()
    assert check.status == 0
    assert outcomes["list"] == ("ok", "0 objects below oss://sample")
    assert outcomes["ranged get"][0] == "skipped"


def test_a_prefix_without_keys_is_wrong_unless_it_is_meant(check: Check) -> None:
    outcome, text = check.outcomes(source="oss://sample/dep")["list"]
    assert (outcome, check.status) == ("wrong", 1)
    assert "there is no key below oss://sample/dep" in text
    check.outcomes("--allow-empty", source="oss://sample/dep")
    assert check.status == 0


def test_an_object_can_be_checked_and_not_mounted(check: Check) -> None:
    outcomes = check.outcomes(source="oss://sample/deep/file")
    assert outcomes["list"][0] == "warning"
    assert "is an object, not a directory; mount oss://sample/deep" in outcomes["list"][1]
    assert outcomes["ranged get"][0] == "ok"
    assert check.status == 0


def test_a_private_bucket_without_a_key_is_wrong(check: Check) -> None:
    outcome, text = check.outcomes("--signature", "anonymous")["list"]
    assert (outcome, check.status) == ("wrong", 1)
    assert "it is not public" in text


def test_a_bucket_whose_first_page_is_empty(check: Check) -> None:
    """Its objects are tried all the same."""
    check.emulator.faults(listing="empty")
    outcomes = check.outcomes()
    assert outcomes["list"] == ("ok", "2 objects below oss://sample")
    assert outcomes["head"][0] == outcomes["ranged get"][0] == "ok"


def test_an_origin_that_fails(check: Check) -> None:
    check.emulator.faults(hang="all")
    outcomes = check.outcomes()
    assert outcomes["HTTP"][0] == "wrong"
    assert "no answer within 5 s" in outcomes["HTTP"][1]
    assert outcomes["clock"] == outcomes["list"] == ("skipped", "because of HTTP")


def test_where_parts_would_be_kept(check: Check, tmp_path: Path) -> None:
    new = check.outcomes("--cache-dir", str(tmp_path / "a b/c"))["cache"]
    assert new[0] == "ok"
    assert new[1].startswith(f"'{tmp_path}/a b/c' on ")
    assert not (tmp_path / "a b").exists()
    outcome, text = check.outcomes("--cache-dir", str(tmp_path), "--cache-free", "99.9%")["cache"]
    assert outcome == "warning"
    assert "--cache-free" in text
    (tmp_path / "file").touch()
    outcome, text = check.outcomes("--cache-dir", str(tmp_path / "file"))["cache"]
    assert (outcome, check.status) == ("wrong", 1)
    assert text == f"{tmp_path}/file may not be written; choose another with --cache-dir"
    outcome, text = check.outcomes("--cache-dir", str(tmp_path / "file/x"))["cache"]
    assert outcome == "wrong"
    assert text == f"{tmp_path}/file/x cannot be made; choose another with --cache-dir"


def test_wrong_usage(check: Check) -> None:
    command = [*PROGRAM, "check", "nonsense"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
