"""Every callback of the public interface refuses what would never run, and reports an awaitable that it returns."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import cpapi_fast as cf
import cpapi_fast.doctor
import cpapi_fast.simulator
from cpapi_fast.collect.run import collect
from cpapi_fast.doctor import diagnose
from cpapi_fast.simulator import SimulatedGateway

#: Parameters of public functions that are callables and no callbacks of a user: those of the objects that the library
#: creates itself, and those that have to return an awaitable.
NO_CALLBACKS = {
    ("CallbackConsumer", "check"),
    ("CallbackConsumer", "on_close"),
    ("CallbackConsumer", "on_error"),
    ("Consumer", "check_close"),
    ("Consumer", "check_wait"),
    ("Consumer", "on_close"),
    ("FeedSubscription", "status_of"),
    ("FeedSubscription", "unsubscribe"),
    ("Keepalive", "tickle"),
    ("ServerConnection", "lines_in_use"),
    ("Subscription", "send"),
    ("Subscription.market_data", "send"),
    ("Subscription.orders", "send"),
    ("Subscription.pnl", "send"),
    ("Subscription.executions", "send"),
    ("Subscription.account_summary", "send"),
    ("Subscription.ledger", "send"),
}


class World:
    """What the callbacks need."""

    def __init__(self, gateway: SimulatedGateway, client: cf.Client, folder: Path) -> None:
        self.gateway, self.client = gateway, client
        self.options = cf.CollectOptions(
            conids=(265598,), out=folder, duration_s=5.0, fields=cf.MarketDataFields.default_l1()
        )

    async def with_ws(self, use: Callable[[cf.WsClient], None]) -> None:
        async with await cf.WsClient.connect(self.client) as ws:
            use(ws)
            await ws.wait_closed()

    async def with_feed(self, use: Callable[[cf.Feed], None]) -> None:
        async with cf.Feed(self.client) as feed:
            use(feed)
            await feed.wait_for(cf.FeedState.AUTHENTICATED)

    async def with_changes(self, use: Callable[[cf.Feed], cf.CallbackConsumer]) -> None:
        async with cf.Feed(self.client) as feed:
            consumer = use(feed)
            await feed.subscribe_market_data(265598)
            await feed.subscribe_orders()
            await feed.subscribe_executions()
            await feed.subscribe_pnl()
            await feed.subscribe_account_summary("DU1234567")
            await feed.subscribe_ledger("DU1234567")
            await self.gateway.wait_for(lambda: consumer.stats.events_delivered)

    async def logged_out(self, callback: Any) -> None:
        self.gateway.faults.log_out()
        async with cf.Feed(self.client, on_login_required=callback) as feed:
            await feed.wait_for(cf.FeedState.LOGIN_REQUIRED)

    async def keepalive(self, callback: Any) -> None:
        keepalive = self.client.spawn_keepalive(1.0, callback)
        await self.gateway.wait_for(lambda: keepalive.ticks + keepalive.failures >= 1)
        await keepalive.stop()

    async def timer(self, callback: Any) -> None:
        self.client.clock.call_later(0.0, callback)
        await asyncio.sleep(0.01)


#: The callbacks for changes of the state that a feed keeps.
CHANGES = (
    *("on_quote", "on_order", "on_execution", "on_pnl"),
    *("on_account_value", "on_ledger_balance", "on_session"),
)

#: Of each callback: how to pass it, and where an awaitable that it returns is reported: `raised` by the call, `handled`
#: by the exception handler of the loop, or `nowhere`: it is asyncio that calls it.
CALLBACKS: dict[tuple[str, str], tuple[Callable[[World, Any], Awaitable[object]], str]] = {
    ("Feed.on_item", "callback"): (lambda world, call: world.with_feed(lambda feed: feed.on_item(call)), "handled"),
    ("Feed.on_batch", "callback"): (lambda world, call: world.with_feed(lambda feed: feed.on_batch(call)), "handled"),
    **{
        (f"Feed.{name}", "callback"): (
            lambda world, call, name=name: world.with_changes(lambda feed: getattr(feed, name)(call)),
            "handled",
        )
        for name in CHANGES
    },
    ("Feed", "on_login_required"): (lambda world, call: world.logged_out(call), "handled"),
    ("WsClient.on_batch", "callback"): (lambda world, call: world.with_ws(lambda ws: ws.on_batch(call)), "raised"),
    ("WsClient.on_frame", "callback"): (lambda world, call: world.with_ws(lambda ws: ws.on_frame(call)), "raised"),
    ("Client.spawn_keepalive", "on_result"): (lambda world, call: world.keepalive(call), "handled"),
    ("Keepalive", "on_result"): (
        lambda world, call: world.keepalive(call),
        "handled",
    ),
    ("Collector", "on_notice"): (
        lambda world, call: cf.Collector(world.client, world.options, on_notice=call).run(),
        "handled",
    ),
    ("collect", "on_notice"): (lambda world, call: collect(world.client, world.options, on_notice=call), "handled"),
    ("diagnose", "on_finding"): (lambda world, call: diagnose(world.gateway.url, on_finding=call), "raised"),
    ("Clock.call_later", "callback"): (lambda world, call: world.timer(call), "nowhere"),
    ("SimulatedGateway.wait_for", "condition"): (lambda world, call: world.gateway.wait_for(call), "raised"),
}


def callable_parameters() -> set[tuple[str, str]]:
    """The parameters of all public functions and methods that are callables."""
    found: set[tuple[str, str]] = set()
    named = [
        (name, getattr(module, name))
        for module in (cf, cpapi_fast.doctor, cpapi_fast.simulator)
        for name in module.__all__
    ]
    for name, value in [*named, ("collect", collect)]:
        functions = {name: value}
        if isinstance(value, type):
            functions = {
                name if member == "__init__" else f"{name}.{member}": getattr(function, "__func__", function)
                for base in reversed(value.__mro__)
                for member, function in vars(base).items()
                if member == "__init__" or not member.startswith("_")
            }
        for where, function in functions.items():
            if inspect.isfunction(function):
                for parameter, annotation in function.__annotations__.items():
                    if "Callable[" in str(annotation) and parameter != "return":
                        found.add((where, parameter))
    return found


def test_every_callback_is_in_this_test() -> None:
    assert callable_parameters() - NO_CALLBACKS == CALLBACKS.keys()


async def coroutine_function(*_: object) -> None: ...


async def generator(*_: object) -> AsyncIterator[int]:
    yield 1


class AsyncCall:
    async def __call__(self, *_: object) -> None: ...


@pytest.fixture
def world(gateway: SimulatedGateway, client: cf.Client, tmp_path: Path) -> World:
    return World(gateway, client, tmp_path)


KINDS = (coroutine_function, functools.partial(coroutine_function, 1), AsyncCall(), AsyncCall().__call__, generator, 5)


@pytest.mark.parametrize("name", CALLBACKS, ids=".".join)
async def test_what_would_never_run_is_refused_at_once(world: World, name: tuple[str, str]) -> None:
    run, _ = CALLBACKS[name]
    for callback in KINDS:
        with pytest.raises(cf.ConfigError, match="create_task"):
            await run(world, callback)


@pytest.mark.filterwarnings("error")
@pytest.mark.gateway(speed=20.0)
@pytest.mark.parametrize("name", CALLBACKS, ids=".".join)
async def test_a_coroutine_that_a_plain_function_returns_is_closed_and_reported(
    world: World, name: tuple[str, str]
) -> None:
    run, where = CALLBACKS[name]
    handled: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: handled.append(context))
    made: list[Any] = []

    def callback(*arguments: object) -> Any:
        made.append(coroutine_function(*arguments))
        return made[-1]

    if "notice" in name[1]:
        # So that there is a notice.
        (world.options.out / "quotes-x.parquet.part").touch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if where == "nowhere" else "error")
            if where == "raised":
                with pytest.raises(cf.CallbackError, match="nothing runs"):
                    await run(world, callback)
            else:
                await run(world, callback)
            assert made
            if where != "nowhere":
                assert all(inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED for coroutine in made)
            made.clear()
            gc.collect()
    finally:
        loop.set_exception_handler(before)
    errors = [context["exception"] for context in handled]
    assert all(isinstance(error, cf.CallbackError) and "asyncio.create_task" in str(error) for error in errors)
    assert bool(errors) is (where == "handled")


async def test_a_task_that_a_callback_starts_runs(world: World) -> None:
    items: list[object] = []

    async def handle(item: object) -> None:
        items.append(item)

    def callback(item: object) -> asyncio.Task[None]:
        return asyncio.ensure_future(handle(item))

    async with cf.Feed(world.client) as feed:
        consumer = feed.on_item(callback)  # type: ignore[arg-type]
        await feed.wait_for(cf.FeedState.AUTHENTICATED)
        await world.gateway.wait_for(lambda: items)
    assert consumer.stats.callback_errors == 0


async def test_a_sink_with_a_coroutine_function_is_refused(world: World) -> None:
    class Sink(cf.FrameSink):
        async def on_frame(self, frame: object) -> None: ...

    async with await cf.WsClient.connect(world.client) as ws:
        with pytest.raises(cf.UsageError, match="Cython"):
            ws.use_sink(Sink())
