"""Event loops: which one is used, how a run ends, and busy polling."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from cpapi_fast.errors import MissingDependencyError, UsageError
from cpapi_fast.loop import LoopOwner, new_event_loop, required_loop, run
from cpapi_fast.ws.busy_poll import BusyPoll
from tests.support.loops import LOOPS


async def loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__


@pytest.mark.parametrize("loop", LOOPS)
def test_run_uses_the_requested_loop(loop: str) -> None:
    assert run(loop_module(), uvloop=loop == "uvloop").startswith(loop)


def test_uvloop_is_the_default_if_installed() -> None:
    assert run(loop_module()).startswith(LOOPS[0])


def test_asyncio_is_the_default_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(loop_module()).startswith("asyncio")
    with pytest.raises(MissingDependencyError, match="pip install uvloop"):
        new_event_loop(uvloop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImportError):
            run(loop_module(), uvloop=True)
        gc.collect()


@pytest.mark.parametrize("loop", LOOPS)
async def test_run_inside_a_running_loop_says_what_to_do_and_closes_the_coroutine(loop: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match=r"Use `await main\(\)`"):
            run(loop_module(), uvloop=loop == "uvloop")
        gc.collect()
    # Another thread has no loop yet.
    assert (await asyncio.to_thread(lambda: run(loop_module(), uvloop=loop == "uvloop"))).startswith(loop)


@pytest.mark.parametrize(
    "main", [loop_module, None, 5, lambda: None, asyncio.Event], ids=["function", "none", "number", "lambda", "class"]
)
def test_run_of_something_else_than_a_coroutine_says_what_to_pass(main: Any) -> None:
    with pytest.raises(UsageError, match=r"cf\.run\(main\(\)\)"):
        run(main)


def test_a_loop_is_required_with_a_typed_error() -> None:
    with pytest.raises(UsageError, match="a timer needs a running event loop"):
        required_loop("a timer")


def raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except UsageError:
        return True
    return False


def in_thread(call: Callable[[], object]) -> object:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


def test_an_object_belongs_to_the_loop_of_its_first_use() -> None:
    owner = LoopOwner("a feed")

    async def check() -> bool:
        return raises(owner.check)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    # Without a loop, it belongs to none yet.
    assert not raises(owner.check)
    assert not in_thread(lambda: raises(owner.check))
    assert first.run_until_complete(check()) is False
    assert first.run_until_complete(check()) is False
    # Between two runs of its loop, in its thread.
    assert not raises(owner.check)
    assert in_thread(lambda: raises(owner.check))
    assert second.run_until_complete(check()) is True
    assert in_thread(lambda: asyncio.run(check())) is True
    first.close()
    assert second.run_until_complete(check()) is True
    assert not in_thread(lambda: raises(owner.check_end))
    second.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_tasks_that_are_left_are_cancelled(loop: str) -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("cancelled")

    async def main() -> None:
        ended.append("started")
        main.task = asyncio.ensure_future(forever())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    run(main(), uvloop=loop == "uvloop")
    assert ended == ["started", "cancelled"]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_error_of_main_is_raised(loop: str) -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main(), uvloop=loop == "uvloop")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_busy_loop_does_not_sleep_and_runs_everything_else(loop: str) -> None:
    async def cpu_s() -> float:
        before_s = time.thread_time()
        await asyncio.sleep(0.25)
        return time.thread_time() - before_s

    async def main() -> None:
        asleep_s = await cpu_s()
        busy_poll = BusyPoll(asyncio.get_running_loop())
        busy_s = await cpu_s()
        busy_poll.stop()
        await asyncio.sleep(0)
        # On a loaded machine a spinning thread gets less than a core, and a sleeping one still next to nothing.
        assert busy_s > 5 * max(asleep_s, await cpu_s())

    run(main(), uvloop=loop == "uvloop")


async def _use(owner: LoopOwner) -> None:
    owner.check()


def test_a_loop_that_has_ended_is_named_as_such() -> None:
    owner = LoopOwner("a client")
    asyncio.run(_use(owner))
    with pytest.raises(UsageError, match=r"that loop has ended\. Create a new one in each loop"):
        asyncio.run(_use(owner))


def test_what_outlives_its_loop_moves_to_the_next() -> None:
    owner = LoopOwner("a pacer", outlives_loop=True)
    asyncio.run(_use(owner))
    asyncio.run(_use(owner))
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    first.run_until_complete(_use(owner))
    with pytest.raises(UsageError, match="first used"):
        second.run_until_complete(_use(owner))
    first.close()
    second.close()
