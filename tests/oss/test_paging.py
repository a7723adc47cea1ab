"""A listing that does not get on is an error, however it goes about it."""

import pytest

from ossfs_resume.errors import BadAnswer
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import Trail, pages


def page(token: str, *names: str) -> ListPage:
    """Names with a final slash are common prefixes."""
    return ListPage(
        tuple(ObjectMeta(name, 1, "E", 0) for name in names if not name.endswith("/")),
        tuple(name for name in names if name.endswith("/")),
        token,
    )


def test_pages_that_get_on_are_followed() -> None:
    trail = Trail()
    wanted = [page("1", "a", "b/"), page("2"), page("3", "c"), page("4"), page("", "d")]
    assert [trail.follow(one) for one in wanted] == ["1", "2", "3", "4", ""]


def test_the_order_is_that_of_the_bytes() -> None:
    """Above U+FFFF, and with illegal bytes, texts in Python have another one."""
    trail = Trail()
    trail.follow(page("1", "\uffff"))
    trail.follow(page("2", "\U00010000"))
    trail.follow(page("", "\udcff"))


@pytest.mark.parametrize(
    "second",
    [
        page("2", "a", "b"),
        page("2", "b", "c"),
        page("2", "b/", "c"),
        page("2", "0", "z"),
        page("1", "c"),
    ],
    ids=["same", "last again", "prefix", "back", "token"],
)
def test_a_page_that_leads_back_is_refused(second: ListPage) -> None:
    trail = Trail()
    trail.follow(page("1", "a", "b/"))
    with pytest.raises(BadAnswer, match="circles"):
        trail.follow(second)
    assert trail.follow(page("", "c")) == ""


def test_a_token_of_long_ago_is_refused() -> None:
    trail = Trail()
    for token, name in (("1", "a"), ("2", "b"), ("3", "c")):
        trail.follow(page(token, name))
    with pytest.raises(BadAnswer, match="token"):
        trail.follow(page("1", "d"))


def test_one_empty_page_after_another_is_refused() -> None:
    trail = Trail()
    trail.follow(page("1"))
    with pytest.raises(BadAnswer, match="empty"):
        trail.follow(page("2"))
    assert trail.follow(page("")) == ""


async def test_all_pages_are_asked_for_by_their_tokens() -> None:
    bucket = {"": page("1", "a"), "1": page("2", "b"), "2": page("", "c")}

    async def ask(token: str) -> ListPage:
        return bucket[token]

    assert [one.objects[0].key async for one in pages(ask)] == ["a", "b", "c"]
