"""A listing that leads back to where it was is an error, however long the way round."""

import pytest

from ossfs_resume.errors import BadAnswer
from ossfs_resume.oss.paging import Trail


def test_new_tokens_are_followed() -> None:
    trail = Trail()
    assert [trail.follow(token) for token in ("a", "b", "")] == ["a", "b", ""]


def test_a_circle_is_refused() -> None:
    trail = Trail()
    for token in ("a", "b", "c"):
        trail.follow(token)
    with pytest.raises(BadAnswer, match="circles"):
        trail.follow("a")
