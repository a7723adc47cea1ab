"""Settings come from the first source that has them, and bad ones are named."""

from contextlib import suppress
from pathlib import Path

import pytest

from ossfs_resume.config import (
    Source,
    default_cache_dir,
    parse_mount_options,
    parse_source,
    read_file,
    resolve,
)
from ossfs_resume.errors import SettingsError
from ossfs_resume.options import OPTIONS, Option, path


def test_defaults_alone_are_a_whole_configuration() -> None:
    options = resolve({}, {}, {"XDG_CACHE_HOME": "/c"}, {})
    assert (options.part_size, options.request_size, options.connections) == (
        256 * 1024,
        4 << 20,
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
        ("part-size", "32KiB", "--part-size: 32KiB is not between 64KiB and 1GiB"),
        ("request-size", "1K", "--request-size: 1K is not between 64KiB and 1GiB"),
        ("connections", "0", "--connections: 0 is not between 1 and 1000"),
        ("connections", "many", "--connections: 'many' is not a whole number"),
        ("connections", "\uff11\uff12", "--connections: '\uff11\uff12' is not a whole number"),
        ("umask", "0999", "--umask: '0999' is not an octal number such as 022"),
        ("umask", "-1", "--umask: '-1' is not an octal number such as 022"),
        ("file-mode", "rwx", "--file-mode: 'rwx' is not an octal number such as 022"),
        ("uid", "nobody-of-this-name", "--uid: there is no user 'nobody-of-this-name'"),
        ("uid", "4294967295", "--uid: 4294967295 is not between 0 and 4294967294"),
        ("control-group", "none here", "--control-group: there is no group 'none here'"),
        ("cache-free", "5", "--cache-free: 5 bytes? Write 5GiB or 5%"),
        ("cache-size", "100", "--cache-size: 100 bytes? Write 100GiB"),
        ("cache-dir", "~nobody-of-this-name/x", "--cache-dir: ~nobody-of-this-name/x: no home"),
        ("part-size", "2GiB", "--part-size: 2GiB is not between 64KiB and 1GiB"),
        ("cache-size", "9" * 20 + "P", "--cache-size: '99999999999999999999P' is more than any"),
        ("timeout", "9" * 20, "--timeout: '99999999999999999999' is more than 30 years"),
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
        ("oss://b//", Source("b", "/")),
        ("oss://b//x", Source("b", "/x/")),
        ("oss://b/x//", Source("b", "x//")),
        ("oss://b/x//y", Source("b", "x//y/")),
        ("oss://b/./x", Source("b", "./x/")),
        ("oss://b/x/..", Source("b", "x/../")),
    ],
)
def test_sources(text: str, source: Source) -> None:
    assert parse_source(text) == source
    assert parse_source(str(source)) == source


@pytest.mark.parametrize("text", ["b", "s3://b", "oss://", "oss:///x", "/mnt", "bucket:/d"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="oss://"):
        parse_source(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sample", "oss://sample?"),
        ("oss:sample/d", "oss://sample/d?"),
        ("OSS://Sample", "oss://sample?"),
        (
            "https://sample.oss-cn-hangzhou.aliyuncs.com/d",
            "oss://sample/d --endpoint oss-cn-hangzhou.aliyuncs.com?",
        ),
        (
            "oss://sample.oss-cn-hangzhou-internal.aliyuncs.com",
            "oss://sample --endpoint oss-cn-hangzhou-internal.aliyuncs.com?",
        ),
    ],
)
def test_what_is_almost_a_source_is_answered_with_the_right_one(text: str, meant: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_source(text)
    assert str(raised.value).endswith(f"; did you mean {meant}")


def test_mount_options_know_ours_ignore_fstabs_and_refuse_the_rest() -> None:
    text = "rw,_netdev,allow_other,cache-dir=/c,x-systemd.automount,timeout=5,"
    assert parse_mount_options(text) == {"allow-other": "true", "cache-dir": "/c", "timeout": "5"}
    with pytest.raises(SettingsError, match="-o colour"):
        parse_mount_options("colour=red")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("alow_other", "did you mean allow-other?"),
        ("allow-othr", "did you mean allow-other?"),
        ("cachedir=/c", "did you mean cache-dir?"),
        ("big_write", "did you mean big_writes?"),
        ("confg=x", "did you mean config?"),
        ("colour=red", "see ossfs-resume mount --help"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(
    tmp_path: Path, word: str, meant: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_mount_options(word)
    name = word.partition("=")[0]
    assert str(raised.value) == f"-o {name}: no such option; {meant}"
    if meant.startswith("did you mean allow"):
        (tmp_path / "config.toml").write_text(f"{name} = true")
        with pytest.raises(SettingsError, match=f"{name}; did you mean allow-other"):
            read_file(tmp_path / "config.toml")


def test_a_misspelt_name_of_a_file_may_be_that_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("acces_key_id = 'x'")
    with pytest.raises(SettingsError, match="did you mean access-key-id"):
        read_file(tmp_path / "config.toml")


@pytest.mark.parametrize(
    "word",
    "X-mount.mkdir=0755 x-gvfs-hide comment=x lazytime nosymfollow dirsync iversion mand nonempty"
    " fsname=x subtype=y big_writes kernel_cache norelatime relatime strictatime noauto nofail"
    " _netdev users owner group user=me".split(),
)
def test_a_word_that_fstab_may_hold_changes_nothing(word: str) -> None:
    assert parse_mount_options(f"rw,{word}") == {}


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("allow_root", "use allow_other"),
        ("context=system_u:object_r:x", "SELinux"),
        ("remount", "unmount it"),
        ("timeout", "write timeout=SECONDS"),
    ],
)
def test_a_word_that_would_mean_something_else_is_refused(word: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        parse_mount_options(f"rw,{word}")


def test_a_comma_may_belong_to_a_value() -> None:
    text = r"""proxy=a\,b,cache-dir="/c,d",log-file=/e\\f,ca-bundle=/g"h,timeout=5"""
    assert parse_mount_options(text) == {
        "proxy": "a,b",
        "cache-dir": "/c,d",
        "log-file": "/e\\f",
        "ca-bundle": '/g"h',
        "timeout": "5",
    }


def test_users_and_groups_have_names() -> None:
    options = resolve({"uid": "root"}, parse_mount_options("gid=root,control_group=root"), {}, {})
    assert (options.uid, options.gid, options.control_group) == (0, 0, 0)


VALUED = [option for option in OPTIONS if not option.is_switch]


@pytest.mark.parametrize("option", VALUED, ids=[option.name for option in VALUED])
def test_an_empty_value_is_refused_wherever_it_was_written(option: Option) -> None:
    """``--cache-dir ""`` would be the working directory, ``--endpoint ""`` the public cloud."""
    empty = {option.name: ""}
    written = parse_mount_options(f"{option.name}=")
    for flags, mount, file in ((empty, {}, {}), ({}, written, {}), ({}, {}, empty)):
        with pytest.raises(SettingsError, match=f"{option.name}: no value is given"):
            resolve(flags, mount, {}, file)


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    environment = {option.environment: " " for option in OPTIONS if option.environment}
    environment |= {"HOME": "/h"}
    options = resolve({}, {}, environment, {})
    assert (options.endpoint, options.region) == (None, None)
    assert options.cache_dir == default_cache_dir(environment)


ODD_VALUES = ["-1", "\uff11", "\u0663", "9" * 5000, "1_0", "\0", "nan", "inf", "0x1", "\udcff"]
TEXTS = ("endpoint", "region", "credentials", "credentials-process", "proxy")


@pytest.mark.parametrize("option", OPTIONS, ids=[option.name for option in OPTIONS])
@pytest.mark.parametrize("text", ODD_VALUES, ids=ascii)
def test_an_odd_value_is_refused_or_a_text(option: Option, text: str) -> None:
    """Nothing but a SettingsError, and no number that nobody wrote."""
    with suppress(SettingsError):
        resolve({option.name: text}, {}, {}, {})
        assert option.name in TEXTS or option.parse is path


def test_an_empty_switch_is_on() -> None:
    assert resolve({}, parse_mount_options("allow_other"), {}, {}).allow_other is True
    assert resolve({}, parse_mount_options("allow_other=no"), {}, {}).allow_other is False


def test_a_file_gives_the_same_options(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('part-size = "1MiB"\nconnections = 4\nallow-other = true\n')
    options = resolve({}, {}, {}, read_file(file))
    assert (options.part_size, options.connections, options.allow_other) == (1 << 20, 4, True)


def test_a_file_may_begin_with_a_mark_and_spell_names_as_mount_does(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xef\xbb\xbfmetadata_ttl = 0.5\nallow_other = true\n")
    options = resolve({}, {}, {}, read_file(file))
    assert (options.metadata_ttl, options.allow_other) == (0.5, True)


@pytest.mark.parametrize(
    ("text", "umask"),
    [("0o077", 0o077), ('"077"', 0o077), ('"0o77"', 0o077), ("0", 0), ("0o7_7", 0o077)],
)
def test_an_octal_number_of_a_file_is_what_it_looks_like(
    tmp_path: Path, text: str, umask: int
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"region = 'r'\n umask = {text} # as in a shell\n")
    assert resolve({}, {}, {}, read_file(file)).umask == umask


@pytest.mark.parametrize("text", ["77", "0x3f", "63", "0b11", "7.5", "true", "[1]", "-1"])
def test_another_number_for_an_octal_one_is_refused(tmp_path: Path, text: str) -> None:
    """In TOML 77 is 0o115, which would leave to the group what it was to be denied."""
    file = tmp_path / "config.toml"
    file.write_text(f"umask = {text}\n")
    with pytest.raises(SettingsError, match="umask"):
        resolve({}, {}, {}, read_file(file))


def test_a_negative_number_of_a_file_is_no_octal_number(tmp_path: Path) -> None:
    (file := tmp_path / "options.toml").write_text("umask = -1\n")
    with pytest.raises(SettingsError, match="'-1' is not an octal number such as 022"):
        resolve({}, {}, {}, read_file(file))


@pytest.mark.parametrize(
    "text",
    [
        "colour = 1",
        "not toml",
        '"',
        "region = ['a']",
        "region = 2020-01-01",
        "region = true",
        "allow-other = true\nallow_other = false",
        f"connections = {'9' * 5000}",
        "a = " + "[" * 5000,
    ],
)
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
