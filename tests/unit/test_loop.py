"""Event loops: which one is used, how a run ends, and busy polling."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from cpapi_fast.loop import new_event_loop, run
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
    with pytest.raises(ImportError):
        new_event_loop(uvloop=True)


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
