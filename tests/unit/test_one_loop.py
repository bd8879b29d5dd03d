"""OneLoop: which loop an object belongs to, and what the error of a use in another one says."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cpapi_fast.errors import UsageError
from cpapi_fast.one_loop import OneLoop


async def check(owner: OneLoop) -> asyncio.AbstractEventLoop:
    return owner.check()


async def test_the_first_use_decides() -> None:
    owner = OneLoop("client")
    assert owner.check() is asyncio.get_running_loop()
    assert owner.check() is asyncio.get_running_loop()
    with pytest.raises(UsageError, match=r"this client belongs .*run_coroutine_threadsafe\(coroutine, loop\)"):
        await asyncio.to_thread(asyncio.run, check(owner))
    with pytest.raises(UsageError, match="no event loop is running"):
        await asyncio.to_thread(owner.check)


def test_a_loop_that_has_ended() -> None:
    owner = OneLoop("client")
    asyncio.run(check(owner))
    with pytest.raises(UsageError, match=r"has ended\. Create a new one in each loop"):
        asyncio.run(check(owner))
    mover = OneLoop("pacer", outlives_loop=True)
    asyncio.run(check(mover))
    asyncio.run(check(mover))


def test_two_loops_in_turn_in_one_thread() -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    owner = OneLoop("connection")
    first.run_until_complete(check(owner))

    async def call() -> None:
        owner.check_call()

    first.run_until_complete(call())
    # No loop is running, and this is the thread of the first one.
    owner.check_call()
    for refused in (call(), check(owner)):
        with pytest.raises(UsageError, match="another one"):
            second.run_until_complete(refused)
    first.run_until_complete(call())
    first.close()
    second.close()


def test_a_plain_function_in_a_thread_without_a_loop() -> None:
    loop = asyncio.new_event_loop()
    owner = OneLoop("connection")
    loop.run_until_complete(check(owner))
    errors: list[Exception] = []

    def call() -> None:
        try:
            owner.check_call()
        except UsageError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    loop.close()
    assert len(errors) == 1
