"""Settings come from the first source that has them, and bad ones are named."""

from pathlib import Path

import pytest

from ossfs_resume.config import (
    Source,
    parse_mount_options,
    parse_source,
    read_file,
    resolve,
)
from ossfs_resume.errors import SettingsError


def test_defaults_alone_are_a_whole_configuration() -> None:
    options = resolve({}, {}, {"XDG_CACHE_HOME": "/c"}, {})
    assert (options.part_size, options.request_size, options.connections) == (
        256 * 1024,
        8 << 20,
        32,
    )
    assert (options.timeout, options.metadata_ttl, options.negative_ttl) == (60, 60, 5)
    assert (options.umask, options.allow_other, options.endpoint) == (0o022, False, None)


def test_flag_wins_over_mount_option_over_environment_over_file_over_default() -> None:
    flags, mount, env, file = (
        {"region": "flag"},
        {"region": "mount"},
        {"OSS_REGION": "env"},
        {"region": "file"},
    )
    assert resolve(flags, mount, env, file).region == "flag"
    assert resolve({}, mount, env, file).region == "mount"
    assert resolve({}, {}, env, file).region == "env"
    assert resolve({}, {}, {}, file).region == "file"
    assert resolve({}, {}, {}, {}).region is None


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("part-size", "100000", "--part-size: 100000 is not a power of two"),
        ("part-size", "32KiB", "--part-size: 32KiB is not a power of two of at least 64KiB"),
        ("request-size", "1K", "--request-size: 1K is less than 64KiB"),
        ("connections", "0", "--connections: 0 is not between 1 and 1000"),
        ("connections", "many", "--connections: 'many' is not a whole number"),
        ("umask", "0999", "--umask: '0999' is not a whole number"),
        ("umask", "7777", "--umask: 7777 is not between 0 and 777"),
        ("addressing", "dns", "--addressing: 'dns' is not one of auto, virtual, path, cname"),
        ("timeout", "never", "--timeout: 'never' is not a time"),
        ("allow-other", "maybe", "--allow-other: 'maybe' is neither true nor false"),
        ("log-level", "loud", "--log-level: 'loud' is not one of"),
    ],
)
def test_a_bad_value_is_named_with_its_option(name: str, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve({name: text}, {}, {}, {})
    assert str(caught.value).startswith(complaint)


def test_a_bad_value_of_a_file_names_the_file() -> None:
    with pytest.raises(SettingsError, match=r"^a\.toml: timeout: "):
        resolve({}, {}, {}, {"timeout": "x"}, "a.toml")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("oss://b", Source("b", "")),
        ("oss://b/", Source("b", "")),
        ("oss://b/x/y", Source("b", "x/y/")),
        ("oss://b/x/y/", Source("b", "x/y/")),
    ],
)
def test_sources(text: str, source: Source) -> None:
    assert parse_source(text) == source
    assert parse_source(str(source)) == source


@pytest.mark.parametrize("text", ["b", "s3://b", "oss://", "oss:///x", "/mnt"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="oss://"):
        parse_source(text)


def test_mount_options_know_ours_ignore_fstabs_and_refuse_the_rest() -> None:
    text = "rw,_netdev,allow_other,cache-dir=/c,x-systemd.automount,timeout=5,"
    assert parse_mount_options(text) == {"allow-other": "", "cache-dir": "/c", "timeout": "5"}
    with pytest.raises(SettingsError, match="-o colour"):
        parse_mount_options("colour=red")


def test_an_empty_switch_is_on() -> None:
    assert resolve({}, parse_mount_options("allow_other"), {}, {}).allow_other is True
    assert resolve({}, parse_mount_options("allow_other=no"), {}, {}).allow_other is False


def test_a_file_gives_the_same_options(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('part-size = "1MiB"\nconnections = 4\nallow-other = true\n')
    options = resolve({}, {}, {}, read_file(file))
    assert (options.part_size, options.connections, options.allow_other) == (1 << 20, 4, True)


@pytest.mark.parametrize("text", ["colour = 1", "not toml", '"'])
def test_a_bad_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"config\.toml"):
        read_file(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none"):
        read_file(tmp_path / "none")


def test_free_space_is_bytes_or_a_share_of_the_disk() -> None:
    def free(text: str) -> object:
        return resolve({"cache-free": text}, {}, {}, {}).cache_free

    assert free("2GiB") == 2 << 30
    assert isinstance(free("0"), int)
    assert free("25%") == 0.25
    assert isinstance(free("0%"), float)
    assert resolve({}, {}, {}, {}).cache_free is None
    assert resolve({"cache-size": "1G"}, {}, {}, {}).cache_size == 1 << 30
    for text in ("100%", "-1%", "5%5", "x%", "much", "nan%"):
        with pytest.raises(SettingsError, match="--cache-free"):
            free(text)
