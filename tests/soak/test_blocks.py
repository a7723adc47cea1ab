"""A check that cannot fail proves nothing: what the soak tests must see, they see."""

import pytest

from support.blocks import BLOCK, OpenFile, WrongBytes, content

SIZE = 10 * BLOCK + 77


def test_content_is_the_same_from_wherever_it_is_taken() -> None:
    whole = content("key", 3, 0, SIZE)
    assert len(whole) == SIZE
    for offset in (0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 3):
        assert content("key", 3, offset, 1000) == whole[offset : offset + 1000] or offset > SIZE


@pytest.mark.parametrize("offset", [0, 1, 31, 33, BLOCK, BLOCK + 500])
@pytest.mark.parametrize("length", [1, 31, 64, BLOCK, 3 * BLOCK])
def test_right_bytes_pass_from_any_offset(offset: int, length: int) -> None:
    file = OpenFile("key")
    file.check(offset, content("key", 3, offset, length), newest=5)
    file.check(0, content("key", 3, 0, SIZE), newest=5)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes(BLOCK), "zeros"),
        (content("key", 4, BLOCK, BLOCK), "version 4"),
        (content("other", 3, BLOCK, BLOCK), "of the object"),
        (content("key", 3, 2 * BLOCK, BLOCK), "block 1024"),
        (b"x" * BLOCK, "no block"),
    ],
)
def test_each_kind_of_wrong_block_is_named(data: bytes, said: str) -> None:
    file = OpenFile("key")
    file.check(0, content("key", 3, 0, BLOCK), newest=5)
    right = content("key", 3, 0, SIZE)
    with pytest.raises(WrongBytes, match=f"1 of .* at {BLOCK} .*{said}"):
        file.check(0, right[:BLOCK] + data + right[2 * BLOCK :], newest=5)


def test_a_version_that_never_was_is_wrong() -> None:
    with pytest.raises(WrongBytes):
        OpenFile("key").check(0, content("key", 6, 0, BLOCK), newest=5)


def test_a_file_of_zeros_is_wrong_from_the_first_byte() -> None:
    with pytest.raises(WrongBytes, match="zeros"):
        OpenFile("key").check(0, bytes(SIZE), newest=5)
