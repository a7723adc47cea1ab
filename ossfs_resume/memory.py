"""Memory that a burst of work has left behind is given back once the burst is over.

After some minutes of many readers half of what the process holds is nobody's, for two reasons:

- An exception that came out of a thread refers to frames that refer to it. Such a ring, and the
  buffers that the frames have in their locals, stays until Python's cycle collector comes by, which
  is made to come seldom (`spare_the_collector`), and never while nothing is done.
- The C library keeps freed memory for the next burst, in an arena for each few threads, and gives
  back only what lies at an arena's end.

So both are asked for, when the process has done next to nothing for a while. How busy it is, its
processor time tells, which needs no counters on the way of a request.
"""

import ctypes
import gc
import time
from collections.abc import Callable

import trio

LOOK_S = 5.0
"""Between two looks at the processor time."""

BUSY_SHARE = 0.02
"""Of one processor; a mount that nobody uses takes an eighth of it."""

_YOUNG = 1
"""The youngest objects are generation 0. What was listed long ago is older, and is not walked."""


def spare_the_collector() -> None:
    """Keep Python's cycle collector from walking hundreds of thousands of names again and again.

    Listing 100 000 names spent a third of its time there with the default thresholds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


async def give_back_memory(processor_s: Callable[[], float] = time.process_time) -> None:
    """Tidy up a little while there is work, and thoroughly after it; until cancelled.

    ``processor_s`` tells the processor time that the process has used, in seconds.
    """
    is_tidy, before = False, processor_s()
    while True:
        await trio.sleep(LOOK_S)
        if processor_s() - before > BUSY_SHARE * LOOK_S:
            is_tidy = False
            gc.collect(0)
        elif not is_tidy:
            is_tidy = True
            gc.collect(_YOUNG)
            await trio.to_thread.run_sync(trim)
        before = processor_s()


def trim() -> None:
    """Have the C library give back to the system what is free; does nothing if it cannot."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
