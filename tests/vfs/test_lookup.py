"""Where a symbolic link leads, and what becomes of symlinks in a page of a listing."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.errors import AccessDenied, NotFound, OriginError, Unreachable
from ossfs_resume.oss.models import ListPage, ObjectMeta, Symlink
from ossfs_resume.vfs.lookup import path_between, resolve_page
from ossfs_resume.vfs.metadata_requests import Origin

NAMES = st.sampled_from(["a", "b", "c d", "中", "~", "..."])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(PATHS, PATHS, st.sampled_from(["", "root/", "root/deep/"]))
def test_a_link_leads_to_its_target(key: str, target: str, root: str) -> None:
    path = path_between(root + key, root + target, root)
    assert path is not None
    assert posixpath.normpath(posixpath.join(posixpath.dirname(key), path)) == target


@pytest.mark.parametrize("target", ["", "other/x", "root", "root/", "root/../x", "root/a//b"])
def test_what_lies_outside_or_has_no_path_is_no_link(target: str) -> None:
    assert path_between("root/link", target, "root/") is None


class Bucket:
    """Symlinks by key, and what a HEAD of each says."""

    def __init__(self, targets: dict[str, str], heads: dict[str, ObjectMeta | OriginError]) -> None:
        self._targets = targets
        self._heads = heads

    async def read_link(self, key: str) -> Symlink:
        return Symlink(self._targets[key], "LINK", 7)

    async def head(self, key: str) -> ObjectMeta:
        found = self._heads[key]
        if isinstance(found, OriginError):
            raise found
        return found

    async def list_page(self, *_: object, **__: object) -> ListPage:
        raise NotImplementedError


def listed(key: str) -> ObjectMeta:
    return ObjectMeta(key, 3, "L", 1, object_type="Symlink")


async def shown(nursery: object, outcome: ObjectMeta | OriginError) -> tuple[ObjectMeta, ...]:
    bucket = Bucket({"in/link": "elsewhere"}, {"in/link": outcome})
    origin = Origin(bucket, nursery, "in/")  # type: ignore[arg-type]
    plain = ObjectMeta("in/plain", 1, "P", 1)
    page = await resolve_page(origin, ListPage((listed("in/link"), plain), (), "next"))
    assert page.next_token == "next"
    assert page.objects[-1] is plain
    return page.objects[:-1]


async def test_a_link_outside_is_its_target(nursery: object) -> None:
    target = ObjectMeta("in/link", 99, "TARGET", 5, object_type="Symlink")
    assert await shown(nursery, target) == (target,)


async def test_a_link_outside_to_nothing_is_left_out(nursery: object) -> None:
    assert await shown(nursery, NotFound("gone")) == ()


async def test_a_link_that_may_not_be_followed_stays_as_it_is_listed(nursery: object) -> None:
    assert await shown(nursery, AccessDenied("no")) == (listed("in/link"),)


async def test_an_origin_that_cannot_be_reached_fails_the_page(nursery: object) -> None:
    with pytest.raises(Unreachable):
        await shown(nursery, Unreachable("down"))
