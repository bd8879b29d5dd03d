"""A feed without data is not silent: the log, the end after a time, and errors for reading what never comes."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway
from tests.servers.http import HttpServer, http_response
from tests.support.loops import until

STREAMING = cf.FeedState.STREAMING
#: Far below every time limit of a test, at the speed of the clock.
QUICK = cf.Clock(20.0)
#: Longer than a busy machine takes to connect.
LONG_S = 5.0


@pytest.fixture
def nothing() -> str:
    """A URL where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1/api"


def warnings_in(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "cpapi_fast" and record.levelno == level]


# --- the log ----------------------------------------------------------------------------------------------------------


async def test_nothing_listens_is_a_warning_once_with_what_to_do(
    nothing: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cpapi_fast")
    async with cf.Client(nothing, clock=QUICK) as client, cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        await until(lambda: feed.stats.calls_failed >= 4)
        (text,) = warnings_in(caplog)
        assert text.startswith(f"feed of {nothing}: disconnected (unreachable: ")
        assert "Start the gateway" in text
        change = feed.last_change
        assert change is not None
        assert change.cause is cf.Cause.UNREACHABLE
        assert feed.trouble is change


@pytest.mark.parametrize(
    ("url", "cause"),
    [("https://{}", "refused"), ("http://{}/wrong", "not a gateway"), ("http://no-such-host.invalid", "unreachable")],
    ids=["untrusted certificate", "wrong base path", "wrong host"],
)
@pytest.mark.gateway(tls=True)
async def test_each_kind_of_nothing_is_a_warning(
    gateway: SimulatedGateway, caplog: pytest.LogCaptureFixture, url: str, cause: str
) -> None:
    async with HttpServer(http_response(b"{}", status=404)) as peer:
        place = f"127.0.0.1:{gateway.port}" if url.startswith("https") else f"127.0.0.1:{peer.port}"
        async with cf.Client(url.format(place), clock=QUICK) as client, cf.Feed(client):
            await until(lambda: warnings_in(caplog))
            assert f" ({cause}: " in warnings_in(caplog)[0]


async def test_a_peer_that_never_answers_is_a_warning_too(caplog: pytest.LogCaptureFixture) -> None:
    async with HttpServer(b"") as peer, cf.Client(peer.url, clock=QUICK) as client, cf.Feed(client):
        await until(lambda: warnings_in(caplog))
        # The first attempt fails at the time at which a quiet start is reported, so either comes first.
        assert re.search(
            "no data for 10 s, and no error .* run `cpapi-fast doctor`|no response to /tickle for 10 s",
            warnings_in(caplog)[0],
        )


async def test_the_end_of_trouble_is_written_at_the_level_info(
    gateway: SimulatedGateway, client: cf.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cpapi_fast")
    async with cf.Feed(client, cf.FeedOptions(reconnect_base_s=0.01)) as feed:
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING)
        assert warnings_in(caplog) == []
        assert feed.trouble is None
        gateway.faults.drop_sockets()
        await feed.wait_for(cf.FeedState.DISCONNECTED)
        await feed.wait_for(STREAMING)
    text, gap = warnings_in(caplog)
    assert "disconnected (connection lost" in text
    assert "Reconnect and subscribe again" not in text, "the feed does it"
    assert re.search(r": gap of \d+\.\d{3} s from \S+Z \(connection lost\): smd\+265598$", gap)
    states = [text.rpartition(": ")[2] for text in warnings_in(caplog, logging.INFO)]
    assert re.sub(r"[\d.]+ s", "S", ", ".join(states)) == (
        "connecting (started), open (socket opened), ready (ready), authenticated (logged in), streaming (data), "
        "next attempt in S, connecting (retry), open (socket opened), ready (ready), authenticated (logged in), "
        "data again after S without, disconnected (stopped)"
    )


async def test_the_log_can_be_turned_off(nothing: str, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        cf.Client(nothing, clock=QUICK) as client,
        cf.Feed(client, cf.FeedOptions(log_trouble=False, give_up_after_s=30.0)) as feed,
    ):
        with pytest.raises(cf.TransportError):
            await feed.wait_for(STREAMING)
    assert warnings_in(caplog) == warnings_in(caplog, logging.ERROR) == []


async def test_the_log_shows_no_account(client: cf.Client, caplog: pytest.LogCaptureFixture) -> None:
    options = cf.FeedOptions(stale_after_max_s=2.5, answer_timeout_s=1.0)
    async with cf.Feed(client, options) as feed:
        await feed.subscribe_topic("ssd+DU1234567.X", "xsd+a+{}", "usd+a+{}", usual_interval_s=0.1)
        await until(lambda: warnings_in(caplog))
    assert "ssd+[redacted] is stale" in warnings_in(caplog)[0]
    assert "1234567" not in caplog.text


async def test_a_session_that_flaps_is_a_few_lines_with_a_count(
    gateway: SimulatedGateway, client: cf.Client, caplog: pytest.LogCaptureFixture
) -> None:
    async with cf.Feed(client) as feed:
        await feed.wait_for(cf.FeedState.AUTHENTICATED)
        for number in range(500):
            feed._trouble.on_change(
                cf.StateChange(
                    number,
                    cf.FeedState.DISCONNECTED if number % 2 else cf.FeedState.LOGIN_REQUIRED,
                    STREAMING,
                    cf.Cause.CONNECTION_LOST,
                    "do this",
                )
            )
    texts = warnings_in(caplog)
    assert len(texts) == 21
    assert texts[-1].endswith("(... and 479 more like it)")


# --- the end after a time ---------------------------------------------------------------------------------------------

GIVE_UP = cf.FeedOptions(give_up_after_s=30.0)


async def read(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


async def test_giving_up_ends_every_reader_and_waiter_with_the_last_cause(
    nothing: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with cf.Client(nothing, clock=QUICK) as client:
        feed = cf.Feed(client, GIVE_UP)
        consumer = feed.consumer()
        await feed.start()
        readers = (read(feed), read(feed.batches()), read(consumer.chunks()), feed.wait_for(STREAMING))
        for outcome in await asyncio.gather(*readers, return_exceptions=True):
            assert type(outcome) in (cf.TransportError, cf.UsageError)
            assert isinstance(outcome, cf.UsageError) or "no data for 30 s: the feed is disconnected, unr" in str(
                outcome
            )
        with pytest.raises(cf.TransportError, match="Start the gateway") as caught:
            await feed.subscribe_market_data(265598)
        assert feed.error is caught.value
        assert "ended: no data for 30 s" in warnings_in(caplog, logging.ERROR)[0]
        await feed.aclose()


@pytest.mark.gateway(is_logged_in=False, speed=20.0)
async def test_giving_up_without_a_login_raises_the_error_of_a_login(client: cf.Client) -> None:
    async with cf.Feed(client, GIVE_UP) as feed:
        with pytest.raises(cf.NotAuthenticatedError, match="no data for 30 s: the feed is login_required"):
            await read(feed)


async def test_a_feed_with_data_or_with_nothing_to_deliver_does_not_give_up(
    gateway: SimulatedGateway, client: cf.Client
) -> None:
    async with cf.Feed(client, cf.FeedOptions(give_up_after_s=LONG_S)) as feed:
        await feed.subscribe_orders()
        await feed.wait_for(cf.FeedState.AUTHENTICATED)
        await asyncio.sleep(LONG_S + 1.0)
        assert feed.trouble is None
        await feed.subscribe_market_data(265598)
        await feed.wait_for(STREAMING)
        await asyncio.sleep(LONG_S + 1.0)
        assert feed.state is STREAMING
        # It stops later too.
        gateway.faults.begin_maintenance()
        gateway.faults.drop_sockets()
        with pytest.raises(cf.TransportError, match="no data for 5 s"):
            await read(feed)


async def test_a_subscription_without_data_is_no_data(gateway: SimulatedGateway, client: cf.Client) -> None:
    gateway.faults.drop_subscribes(1000)
    async with cf.Feed(client, cf.FeedOptions(give_up_after_s=LONG_S, answer_timeout_s=60.0)) as feed:
        await feed.wait_for(cf.FeedState.AUTHENTICATED)
        await feed.subscribe_market_data(265598)
        with pytest.raises(cf.TransportError, match="no data for 5 s: the feed is authenticated"):
            await read(feed)


async def test_a_feed_closed_before_the_time_leaves_no_timer(nothing: str) -> None:
    async with cf.Client(nothing) as client:
        async with cf.Feed(client, GIVE_UP) as feed:
            pass
        assert all(timer._timer is None for timer in feed._trouble._timers)


async def test_a_wait_that_times_out_has_the_last_cause(nothing: str) -> None:
    async with cf.Client(nothing, clock=QUICK) as client, cf.Feed(client) as feed:
        with pytest.raises(
            cf.RequestTimeoutError, match=r"not streaming, after 20 s: .*unreachable.*Start the gateway"
        ):
            await feed.wait_for(STREAMING, timeout_s=20.0)


# --- a feed that was never started -----------------------------------------------------------------------------------


async def test_reading_a_feed_that_was_never_started_raises(client: cf.Client) -> None:
    feed = cf.Feed(client)
    consumer = feed.consumer()
    with pytest.raises(cf.UsageError, match=r"not started.*async with feed"):
        async for _ in feed:
            pass
    with pytest.raises(cf.UsageError, match="not started"):
        feed.batches()
    for items in (consumer, consumer.batches(), consumer.chunks()):
        with pytest.raises(cf.UsageError, match="not started"):
            await read(items)
        with pytest.raises(cf.UsageError, match="not started"):
            await anext(items)
    with pytest.raises(cf.UsageError, match="not started"):
        await feed.wait_for(STREAMING)
    # It can still be started, and the consumer read.
    async with feed:
        await anext(consumer)


@pytest.mark.parametrize("ends", ["aclose", "give_up"])
async def test_a_callback_that_would_never_be_called_is_refused(nothing: str, ends: str) -> None:
    async with cf.Client(nothing, clock=QUICK) as client, cf.Feed(client, GIVE_UP) as feed:
        if ends == "aclose":
            await feed.aclose()
        else:
            await until(lambda: feed.error is not None)
        expected = cf.UsageError if ends == "aclose" else cf.TransportError
        for add in (feed.on_item, feed.on_batch):
            with pytest.raises(expected):
                add(lambda _: None)


# --- other threads ----------------------------------------------------------------------------------------------------

SYNC_CALLS: dict[str, Callable[[cf.Feed, cf.Consumer, cf.CallbackConsumer], object]] = {
    "on_item": lambda feed, _consumer, _callback: feed.on_item(print),
    "on_batch": lambda feed, _consumer, _callback: feed.on_batch(print),
    "consumer": lambda feed, _consumer, _callback: feed.consumer(),
    "aiter": lambda feed, _consumer, _callback: aiter(feed),
    "batches": lambda feed, _consumer, _callback: feed.batches(),
    "consumer aiter": lambda _feed, consumer, _callback: aiter(consumer),
    "consumer close": lambda _feed, consumer, _callback: consumer.close(),
    "callback close": lambda _feed, _consumer, callback: callback.close(),
}


@pytest.mark.parametrize("name", SYNC_CALLS)
async def test_a_call_from_another_thread_is_refused_with_or_without_a_loop_there(client: cf.Client, name: str) -> None:
    call = SYNC_CALLS[name]
    async with cf.Feed(client) as feed:
        consumer, callback = feed.consumer(), feed.on_item(lambda _: None)

        async def in_a_loop() -> None:
            call(feed, consumer, callback)

        for run in (lambda: call(feed, consumer, callback), lambda: asyncio.run(in_a_loop())):
            with pytest.raises(cf.UsageError, match="belongs to the event loop"):
                await asyncio.to_thread(run)
        # Nothing was changed, and the right thread may.
        call(feed, consumer, callback)


async def test_a_reader_in_another_loop_is_refused(client: cf.Client) -> None:
    async with cf.Feed(client) as feed:
        consumer = feed.consumer()
        with pytest.raises(cf.UsageError, match="belongs to the event loop"):
            await asyncio.to_thread(lambda: asyncio.run(read(consumer)))
        with pytest.raises(cf.UsageError, match="belongs to the event loop"):
            await asyncio.to_thread(lambda: asyncio.run(feed.wait_for(STREAMING)))


def test_a_feed_is_set_up_without_a_loop_and_used_between_its_runs(request: pytest.FixtureRequest) -> None:
    loop = asyncio.new_event_loop()
    items: list[object] = []

    async def open_gateway() -> SimulatedGateway:
        gateway = SimulatedGateway()
        await gateway.start()
        return gateway

    gateway = loop.run_until_complete(open_gateway())
    try:
        client = cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint or ""))
        feed = cf.Feed(client)
        consumer = feed.consumer()
        loop.run_until_complete(feed.start())
        feed.on_item(items.append)
        loop.run_until_complete(feed.wait_for(cf.FeedState.AUTHENTICATED))
        assert items
        assert consumer.stats.events_pending
        loop.run_until_complete(feed.aclose())
        consumer.close()
        loop.run_until_complete(client.aclose())
    finally:
        loop.run_until_complete(gateway.aclose())
        loop.close()
    consumer.close()
