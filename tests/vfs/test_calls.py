"""How many functions of ours a name costs: what is done for a million names must stay little."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import ossfs_resume

PACKAGE = str(Path(ossfs_resume.__file__).parent)
COUNT = 1000


@contextmanager
def calls() -> Iterator[list[str]]:
    """The functions of the package that are called in the block."""
    made: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            made.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(before)


async def test_listing_again_and_looking_up_cost_few_calls(world, autojump_clock) -> None:
    for number in range(COUNT):
        world.bucket.put(f"{number:04}")
    await world.entries(told=100)
    handle, offset = await world.tree.open_directory(world.tree.ROOT), 0
    with calls() as made:
        while portion := await world.tree.list_directory(handle, offset, 100):
            world.tree.tell(handle, portion, len(portion))
            offset += len(portion)
    assert (offset, len(made) < COUNT) == (COUNT, True)
    for name in (b"0499", b"0500"):  # the first has the page make its index
        with calls() as made:
            assert world.tree.lookup_at_once(world.tree.ROOT, name) is not None
    assert len(made) <= 20 - 7, "guard, handler, entry and cache make seven more"
