"""The table of options holds what it promises."""

from ossfs_resume.options import OPTIONS


def test_each_option_has_one_name_and_no_secret_is_an_option() -> None:
    names = [option.name for option in OPTIONS]
    assert len(names) == len(set(names))
    assert not [name for name in names if "secret" in name or "token" in name]
