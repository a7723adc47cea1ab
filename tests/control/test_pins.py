"""A pin of a directory follows its listing, and to an end."""

import pytest
import trio

from ossfs_resume.control.errands import Errands
from ossfs_resume.control.pins import Pins
from ossfs_resume.errors import BadAnswer
from ossfs_resume.oss.models import ListPage, ObjectMeta


class Circles:
    """The same page with ever new tokens."""

    def __init__(self) -> None:
        self.asked = 0

    async def list_page(
        self, prefix: str, *, token: str = "", delimiter: str = "/", max_keys: int = 1000
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return ListPage((ObjectMeta("d/a", 1, "E", 0),), (), str(self.asked))


async def test_a_listing_in_circles_is_refused(nursery: trio.Nursery) -> None:
    circles = Circles()
    pins = Pins(circles, None, None, Errands(nursery))  # type: ignore[arg-type]
    with pytest.raises(BadAnswer, match="circles"):
        await pins.pin("d/", None)
    assert circles.asked == 2
