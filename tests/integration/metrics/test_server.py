"""MetricsServer and MetricsCollector: what they serve, that totals add up and never decrease, and hostile clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import DuplicateTimeseries

import cpapi_fast as cf
from cpapi_fast.metrics import METRICS
from cpapi_fast.metrics.connections import MOST_BYTES, MOST_CONNECTIONS
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter
from tests.integration.collect.harness import options_of
from tests.support.commands import ended, start

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

#: Gauges and counters that need an event that this module does not cause.
RARE = {
    "feed_next_try_seconds",
    "tick_age_seconds",
    "tick_age_other_max_seconds",
    "tick_age_other_subscriptions",
    "output_lost_total",
    "output_queue_dropped_frames_total",
    "output_queue_dropped_events_total",
}


async def get(server: cf.MetricsServer, path: str = "metrics", method: str = "GET") -> tuple[int, str]:
    url = server.url.replace("/metrics", f"/{path}")
    async with aiohttp.ClientSession() as http, http.request(method, url) as response:
        return response.status, await response.text()


def parsed(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "each series occurs once"
            found[key] = sample.value
    return found


async def scrape(server: cf.MetricsServer) -> Samples:
    # A text that is younger than 0.1 s is served again.
    await asyncio.sleep(0.15)
    status, text = await get(server)
    assert status == 200
    return parsed(text)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"cpapi_fast_{name}", tuple(sorted(labels.items()))]


OUTPUTS = (("capture", "frames"), ("quotes", "quotes"), ("events", "events"))


def adds_up(samples: Samples, output: str, unit: str) -> bool:
    """Whether received = written + dropped + pending."""
    dropped = [
        number
        for (name, labels), number in samples.items()
        if name == "cpapi_fast_output_dropped_total" and ("output", output) in labels
    ]
    return value(samples, "output_received_total", output=output, unit=unit) == (
        value(samples, "output_written_total", output=output, unit=unit)
        + value(samples, "output_pending", output=output, unit=unit)
        + sum(dropped)
    )


def counters(samples: Samples) -> Samples:
    return {key: number for key, number in samples.items() if key[0].endswith(("_total", "_bucket", "_count"))}


@pytest.mark.each_loop
async def test_metrics_and_health_of_a_feed(gateway: SimulatedGateway, client: cf.Client, enter: Enter) -> None:
    feed = cf.Feed(client)
    server = await enter(cf.MetricsServer(feed, max_conids=1))
    status, text = await get(server, "readyz")
    assert (status, text.splitlines()[0]) == (503, "not ready: disconnected")
    await enter(feed)
    reader = feed.consumer(name="reader")
    feed.on_batch(lambda _: None, name="callback")
    for conid in (265598, 8314):
        await feed.subscribe_market_data(conid)
    await feed.wait_for(cf.FeedState.STREAMING)
    await gateway.wait_for(lambda: all(one.ticks > 1 for one in feed.subscriptions))
    samples = await scrape(server)
    stats = feed.stats
    assert value(samples, "feed_state", state="streaming") == 1
    assert sum(number for (name, _), number in samples.items() if name == "cpapi_fast_feed_state") == 1
    assert 0 < value(samples, "received_frames_total") <= stats.connection.frames_received
    assert value(samples, "received_frames_total") == (
        value(samples, "delivered_frames_total")
        + value(samples, "dropped_frames_total")
        + value(samples, "pending_frames")
    )
    by_kind = [number for (name, _), number in samples.items() if name == "cpapi_fast_frames_by_kind_total"]
    assert sum(by_kind) == value(samples, "delivered_frames_total")
    assert value(samples, "delivery_latency_seconds_count") == sum(by_kind)
    assert value(samples, "subscriptions", state="streaming") == 2
    assert value(samples, "rest_requests_total", status="200") >= 2
    for consumer in ("reader", "callback"):
        assert value(samples, "consumer_received_frames_total", consumer=consumer) == (
            value(samples, "consumer_delivered_frames_total", consumer=consumer)
            + value(samples, "consumer_dropped_frames_total", consumer=consumer)
            + value(samples, "consumer_pending_frames", consumer=consumer)
        )
    assert value(samples, "consumer_pending_frames", consumer="reader") == reader.stats.pending > 0
    # One age of its own, and one for the rest.
    assert value(samples, "tick_age_seconds", conid="265598") < 60
    assert value(samples, "tick_age_other_subscriptions") == 1
    assert (await get(server, "healthz"))[0] == 200
    assert await get(server, "readyz") == (200, "ready: streaming\n")
    assert (await get(server, "other"))[0] == 404
    assert (await get(server, method="POST"))[0] == 405
    assert await get(server, method="HEAD") == (200, "")


async def test_every_metric_of_a_run_is_in_the_catalogue_and_every_one_of_it_is_shown(
    gateway: SimulatedGateway, client: cf.Client, enter: Enter, tmp_path: Path
) -> None:
    collector, stop = cf.Collector(client, options_of(client, tmp_path, flush_interval_s=0.1)), asyncio.Event()
    server = await enter(cf.MetricsServer(collector))
    assert (await get(server, "readyz"))[0] == 503
    run = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: collector.latest_status.connection and len(collector.latest_status.latest) == 2)
    gateway.faults.drop_sockets()
    await gateway.wait_for(lambda: collector.latest_status.gaps >= 2)
    await gateway.wait_for(lambda: dict(collector.latest_status.outputs)["capture"].written > 20)
    # The thread that writes may change a counter between two of its reads, so a sum can differ at one scrape.
    samples = await scrape(server)
    for _ in range(20):
        if all(adds_up(samples, name, unit) for name, unit in OUTPUTS):
            break
        samples = await scrape(server)
    shown = {name.removeprefix("cpapi_fast_") for name, _ in samples if name.startswith("cpapi_fast_")}
    shown = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in shown}
    assert shown <= METRICS.keys()
    assert METRICS.keys() - shown == RARE
    for name, unit in OUTPUTS:
        assert adds_up(samples, name, unit)
    assert value(samples, "output_write_latency_seconds_count", output="capture") > 0
    stop.set()
    summary = await run
    samples = await scrape(server)
    assert all(adds_up(samples, name, unit) for name, unit in OUTPUTS)
    # After the end, every frame of the capture was measured once.
    written = {one.name: one.counts.written for one in summary.outputs}
    assert value(samples, "output_write_latency_seconds_count", output="capture") == written["capture"]
    assert value(samples, "output_written_total", output="quotes", unit="quotes") == written["quotes"] > 0
    assert value(samples, "consumer_received_frames_total", consumer="outputs") == summary.consumer.received
    assert (await get(server, "readyz"))[0] == 503


async def test_counters_never_decrease_across_connections_and_consumers(
    gateway: SimulatedGateway, client: cf.Client, feed: cf.Feed, enter: Enter
) -> None:
    server = await enter(cf.MetricsServer(feed))
    await feed.subscribe_market_data(265598)
    before: Samples = {}
    for round_number in range(2):
        consumer = feed.consumer(name="short", max_pending_frames=1)
        ticks = feed.subscriptions[0].ticks
        await gateway.wait_for(lambda ticks=ticks: feed.subscriptions[0].ticks > ticks + 2)
        consumer.close()
        samples = await scrape(server)
        decreased = {key for key, number in counters(before).items() if samples.get(key, -1.0) < number}
        assert not decreased
        assert value(samples, "reconnects_total") >= round_number
        before = samples
        connections = feed.stats.connections
        gateway.faults.drop_sockets(reset=True)
        await gateway.wait_for(
            lambda n=connections: feed.stats.connections > n and feed.state is cf.FeedState.STREAMING
        )
    samples = await scrape(server)
    assert value(samples, "gaps_total", cause="connection_lost") >= 1
    assert value(samples, "gap_seconds_total", cause="connection_lost") > 0
    assert value(samples, "consumer_dropped_frames_total", consumer="short") > 0


async def test_no_account_session_cookie_or_url_is_shown(
    gateway: SimulatedGateway, client: cf.Client, feed: cf.Feed, enter: Enter
) -> None:
    server = await enter(cf.MetricsServer(feed, max_conids=1000))
    account = gateway.account_id if hasattr(gateway, "account_id") else "DU1234567"
    feed.on_batch(lambda _: None, name=f"of {account}")
    await feed.subscribe_pnl()
    await feed.subscribe_account_summary(account)
    await feed.subscribe_ledger(account)
    await feed.subscribe_orders()
    await feed.subscribe_market_data(265598)
    await gateway.wait_for(lambda: len(feed.account_summary) > 0)
    ticket = await client.tickle()
    assert ticket.session
    texts = [(await get(server))[1]]
    gateway.faults.log_out()
    await feed.wait_for(cf.FeedState.LOGIN_REQUIRED)
    texts += [text for path in ("readyz", "healthz", "metrics") for _, text in [await get(server, path)]]
    secrets = [account, ticket.session, *client._rest.cookies.values()]
    for text in texts:
        assert not [secret for secret in secrets if secret and secret in text]
    for family in text_string_to_metric_families(texts[0]):
        for sample in family.samples:
            assert "://" not in "".join(sample.labels.values())
    assert "not ready: login_required" in texts[1]


async def test_a_scrape_under_load_reads_numbers_that_add_up(start_gateway: Any, enter: Enter, clock: cf.Clock) -> None:
    gateway = await start_gateway(rate=5000.0)
    client = await enter(cf.Client(gateway.url, clock=gateway.clock))
    feed = await enter(cf.Feed(client))
    server = await enter(cf.MetricsServer(feed))
    feed.on_batch(lambda _: None, name="callback")
    for conid in range(1, 51):
        await feed.subscribe_market_data(conid)
    await gateway.wait_for(lambda: feed.stats.connection.frames_received > 2000)
    before: Samples = {}
    for _ in range(5):
        samples = await scrape(server)
        assert value(samples, "consumer_received_frames_total", consumer="callback") == value(
            samples, "delivery_latency_seconds_count"
        )
        assert not {key for key, number in counters(before).items() if samples[key] < number}
        before = samples


# --- options and errors ----------------------------------------------------------------------------------------------


async def test_a_taken_port_is_a_typed_error_and_leaves_no_metrics_on(
    client: cf.Client, feed: cf.Feed, enter: Enter
) -> None:
    first = await enter(cf.MetricsServer(feed))
    other = cf.Feed(client)
    with pytest.raises(cf.ConfigError, match=rf"port {first.port}: .*choose another port, or 0 for a free one"):
        await cf.MetricsServer(other, port=first.port).start()
    assert other._driver.inspector.on_delivered is None
    with pytest.raises(cf.ConfigError, match=r"cannot serve metrics on host\.invalid .*an address of this machine"):
        await cf.MetricsServer(other, host="host.invalid").start()


async def test_the_metrics_are_off_after_the_end(feed: cf.Feed) -> None:
    async with cf.MetricsServer(feed) as server:
        assert feed._driver.inspector.on_delivered is not None
        with pytest.raises(cf.UsageError, match="only once"):
            await server.start()
    assert feed._driver.inspector.on_delivered is None
    with pytest.raises(aiohttp.ClientError):
        await get(server)
    await server.aclose()


async def test_a_callback_for_quotes_and_metrics_work_together(gateway: SimulatedGateway, feed: cf.Feed) -> None:
    quotes: list[cf.Quote] = []
    callback = feed.on_quote(quotes.append)
    await feed.subscribe_market_data(265598)
    async with cf.MetricsServer(feed) as server:
        await gateway.wait_for(lambda: len(quotes) > 1)
        assert value(await scrape(server), "frames_by_kind_total", kind="market_data") > 0
        callback.close()
        count = len(quotes)
        frames = feed.stats.connection.frames_received
        await gateway.wait_for(lambda: feed.stats.connection.frames_received > frames + 2)
        assert len(quotes) == count


@pytest.mark.parametrize(
    "options", [{"port": -1}, {"port": 65536}, {"port": "80"}, {"host": ""}, {"max_conids": -1}, {"max_conids": 1001}]
)
async def test_wrong_options_are_refused(client: cf.Client, options: dict[str, Any]) -> None:
    with pytest.raises(cf.ConfigError):
        cf.MetricsServer(cf.Feed(client), **options)


async def test_a_source_has_metrics_once(client: cf.Client, tmp_path: Path) -> None:
    collector = cf.Collector(client, options_of(client, tmp_path))
    metrics = cf.MetricsCollector(collector)
    with pytest.raises(cf.UsageError, match="has metrics already"):
        cf.MetricsCollector(collector)
    metrics.close()
    second = cf.MetricsCollector(collector)
    metrics.close()
    assert collector._observer is second, "closing twice does not end the metrics of another"
    second.close()
    with pytest.raises(cf.ConfigError, match="must be a Feed or a Collector"):
        cf.MetricsCollector(client)  # type: ignore[arg-type]
    with pytest.raises(cf.ConfigError, match="at most 1,000"):
        cf.MetricsCollector(collector, max_conids=1001)


async def test_a_registry_of_the_user_can_collect_in_another_thread(gateway: SimulatedGateway, feed: cf.Feed) -> None:
    registry = CollectorRegistry()
    metrics = cf.MetricsCollector(feed)
    registry.register(metrics)
    with pytest.raises(DuplicateTimeseries):
        registry.register(metrics)
    await feed.subscribe_market_data(265598)
    await gateway.wait_for(lambda: feed.stats.connection.frames_received > 3)
    received = await asyncio.to_thread(registry.get_sample_value, "cpapi_fast_received_frames_total")
    assert received is not None
    assert received > 3
    with pytest.raises(cf.UsageError, match="in which it was created"):
        await asyncio.to_thread(metrics.close)
    metrics.close()


async def test_a_feed_has_metrics_once_and_the_first_ones_stay(feed: cf.Feed) -> None:
    async with cf.MetricsServer(feed) as server:
        with pytest.raises(cf.UsageError, match="this Feed has metrics already"):
            await cf.MetricsServer(feed).start()
        with pytest.raises(cf.UsageError, match="this Feed has metrics already"):
            cf.MetricsCollector(feed)
        assert (await get(server))[0] == 200
        assert feed._driver.inspector.on_delivered is not None
    metrics = cf.MetricsCollector(feed)
    metrics.close()
    second = cf.MetricsCollector(feed)
    metrics.close()
    assert feed._driver.inspector.on_delivered is not None
    second.close()
    assert feed._driver.inspector.on_delivered is None


async def test_another_event_loop_is_refused_and_changes_nothing(feed: cf.Feed) -> None:
    async def start() -> None:
        await cf.MetricsServer(feed).start()

    with pytest.raises(cf.UsageError, match="belongs to the event loop"):
        await asyncio.to_thread(asyncio.run, start())
    assert feed._driver.inspector.on_delivered is None
    server = cf.MetricsServer(feed)
    await server.start()
    with pytest.raises(cf.UsageError, match="belongs to the event loop"):
        await asyncio.to_thread(asyncio.run, server.aclose())
    assert (await get(server))[0] == 200
    await server.aclose()
    assert feed._driver.inspector.on_delivered is None


async def test_requests_that_are_no_http_are_logged_for_debugging_only(
    client: cf.Client, enter: Enter, caplog: pytest.LogCaptureFixture
) -> None:
    server = await enter(cf.MetricsServer(cf.Feed(client)))
    requests = (
        b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\r\n\r\n",
    )
    for level in (logging.INFO, logging.DEBUG):
        caplog.clear()
        with caplog.at_level(level, logger="cpapi_fast"):
            for request in requests:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(request)
                assert b" 400 " in await reader.readline()
                writer.close()
        found = [record.levelno for record in caplog.records if record.name == "cpapi_fast.metrics.http"]
        assert set(found) == (set() if level == logging.INFO else {logging.DEBUG})


async def test_a_scrape_that_fails_is_one_warning_without_the_text_of_the_error(
    client: cf.Client, enter: Enter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = cf.Feed(client)
    server = await enter(cf.MetricsServer(feed))

    def fail() -> None:
        raise ValueError("of account DU1234567")

    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, logger="cpapi_fast"):
        patch.setattr(feed, "_measures", fail)
        for _ in range(3):
            assert await get(server) == (500, "the metrics cannot be read: ValueError\n")
        assert (await get(server, "healthz"))[0] == 200
    (record,) = [record for record in caplog.records if record.name == "cpapi_fast.metrics"]
    assert "DU1234567" not in caplog.text
    assert record.levelno == logging.WARNING
    assert (await get(server))[0] == 200


def test_a_missing_package_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client.core", None)
    with pytest.raises(cf.MissingDependencyError, match="prometheus-client"):
        cf.MetricsServer(cf.Feed(cf.Client("http://127.0.0.1:1")))


# --- hostile clients -------------------------------------------------------------------------------------------------


async def connect(server: cf.MetricsServer) -> socket.socket:
    found = socket.socket()
    found.setblocking(False)
    await asyncio.get_running_loop().sock_connect(found, ("127.0.0.1", server.port))
    return found


async def end_of(one: socket.socket) -> None:
    """Wait until the server has ended a connection."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            if not await loop.sock_recv(one, 65536):
                return
        except OSError:
            return


async def test_hostile_clients_are_ended_and_do_not_harm_the_feed(
    gateway: SimulatedGateway, feed: cf.Feed, enter: Enter
) -> None:
    server = cf.MetricsServer(feed)
    server._most_age_s = 2.0
    await enter(server)
    await feed.subscribe_market_data(265598)
    sockets = [await connect(server) for _ in range(MOST_CONNECTIONS + 8)]
    loop = asyncio.get_running_loop()
    # Silent ones, those that send one byte at a time, garbage, too much, and one that reads nothing.
    await loop.sock_sendall(sockets[0], b"GET /metrics HT")
    await loop.sock_sendall(sockets[1], b"\x16\x03\x01\x00\xff garbage \r\n\r\n")
    await loop.sock_sendall(sockets[2], b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    with pytest.raises(OSError):  # noqa: PT012 - whichever of the writes finds the end
        for _ in range(64):
            await loop.sock_sendall(sockets[3], b"X-Filler: " + b"x" * MOST_BYTES)
            await asyncio.sleep(0.01)
    await asyncio.gather(*map(end_of, sockets))
    for one in sockets:
        one.close()
    assert server.refused >= 8
    # The feed received meanwhile, and a scraper is served again.
    frames = feed.stats.connection.frames_received
    await gateway.wait_for(lambda: feed.stats.connection.frames_received > frames)
    assert (await get(server))[0] == 200
    assert feed.stats.connections == 1


async def test_a_connection_that_arrives_after_the_end_is_ended(client: cf.Client) -> None:
    async with cf.MetricsServer(cf.Feed(client)) as server:
        connections = server._connections
        assert connections is not None
        connections.end()
        one = await connect(server)
        await end_of(one)
        one.close()
        assert not connections.open


# --- the command -----------------------------------------------------------------------------------------------------


async def test_the_command_serves_metrics_and_prints_where(tmp_path: Path) -> None:
    process = await start(
        "collect", "--simulate", "--conids", "265598", "--duration", "4", "--out", tmp_path, "--metrics-port", "0",
        "--metrics-conids", "5",
    )  # fmt: skip
    assert process.stderr is not None
    url = ""
    while not url:
        line = (await process.stderr.readline()).decode()
        assert line, "the command ended"
        url = line.partition("metrics are at ")[2].strip()
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        samples = parsed(await response.text())
    assert value(samples, "build_info", version=cf.__version__) == 1
    assert url.startswith("http://127.0.0.1:")
    assert (await ended(process)).code == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--metrics-host", "::1"), "need --metrics-port"),
        (("--metrics-port", "65536"), "a port must be a whole number from 0 to 65535"),
        (("--metrics-port", "x"), "a port must be"),
        (("--metrics-port", "0", "--metrics-conids", "1001"), "at most 1000 instruments"),
    ],
)
def test_wrong_options_of_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[str, ...], text: str
) -> None:
    from cpapi_fast.cli.main import main

    code: object = None
    with contextlib.suppress(SystemExit):
        code = main(["collect", "--simulate", "--conids", "1", "--out", str(tmp_path), *options])
    # The parser ends the program with the code itself.
    assert code in (2, None)
    assert text in capsys.readouterr().err
