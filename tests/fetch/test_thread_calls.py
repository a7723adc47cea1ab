"""Who asks a cache that hangs is told so, and nobody waits for the thread."""

import threading

import pytest
import trio

from ossfs_resume.errors import CacheError
from ossfs_resume.fetch.thread_calls import Asking, Hanging
from support.waiting import PATIENCE_S


async def test_a_question_that_hangs_has_an_end_and_so_has_one_behind_it() -> None:
    go_on, asking = threading.Event(), Asking(1, 0.05)
    try:
        for _ in range(2):
            with pytest.raises(Hanging, match=r"did not answer for 0\.05 seconds"):
                await asking.ask(go_on.wait)
    finally:
        go_on.set()
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                assert await asking.ask(lambda: 5) == 5
                break
            except Hanging:
                continue


async def test_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        await Asking().ask(lambda: 1 // 0)


async def test_no_more_threads_is_a_trouble_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.to_thread, "run_sync", refuse)
    with pytest.raises(CacheError, match="start new thread"):
        await Asking().ask(lambda: 5)
