"""Ended streams, dropped subscribes, maintenance, and the log of the frames that were written."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from cpapi_fast.errors import ConfigError
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from cpapi_fast.simulator.frame_writer import topic_of
from tests.conftest import StartGateway

from .conftest import Connect
from .plain_client import L1, Socket, session_cookie


async def test_ticks_have_their_interval_and_a_repeated_subscribe_does_not_shift_them(
    start_gateway: StartGateway, connect: Connect
) -> None:
    gateway = await start_gateway(
        speed=100.0, tick_intervals={265598: 60.0, 8314: 2.0}, keep_log=True, stream_lifetime_s=1e6
    )
    socket = await connect(gateway)
    start_s = gateway.clock.monotonic_s()
    await socket.replies(f"smd+8314+{L1}")
    while gateway.clock.monotonic_s() - start_s < 280.0:
        # Renewed more often than it ticks.
        await socket.replies("umd+265598+{}", f"smd+265598+{L1}")
        await gateway.clock.sleep(20.0)
    lived_s = gateway.clock.monotonic_s() - start_s
    frames = [frame for frame in gateway.log if frame.topic == "smd+265598"]
    # A pair of snapshots for each subscribe; what is left are ticks.
    subscribes = sum(text.text.startswith("smd+265598") for text in socket.peer.received)
    ticks = len(frames) - 2 * subscribes
    assert 3 <= ticks <= lived_s / 60.0 + 1
    quick = sum(frame.topic == "smd+8314" for frame in gateway.log) - 2
    # Ticks that a busy machine sleeps through are gone, none is made up.
    assert 10 <= quick <= lived_s / 2.0 + 1


async def test_regular_ticks_are_regular_under_a_rate_too(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(tick_intervals={265598: 1e6}, rate=50.0, keep_log=True)
    socket = await connect(gateway)
    await socket.replies(f"smd+265598+{L1}", f"smd+8314+{L1}")
    await gateway.wait_for(lambda: sum(frame.topic == "smd+8314" for frame in gateway.log) > 20)
    assert sum(frame.topic == "smd+265598" for frame in gateway.log) == 2


def test_tick_intervals_are_checked() -> None:
    with pytest.raises(ConfigError, match="tick_intervals of 8314"):
        SimulatorOptions(tick_intervals={265598: 1.0, 8314: 0.0})


@pytest.mark.parametrize("answered", [True, False])
async def test_renewal_keeps_a_stream_with_or_without_a_reply(
    start_gateway: StartGateway, connect: Connect, answered: bool
) -> None:
    gateway = await start_gateway(
        stream_lifetime_s=60.0, replies_to_renewals=answered, tick_intervals={265598: 1e6}, keep_log=True
    )
    socket = await connect(gateway)
    assert len(await socket.replies(f"smd+265598+{L1}")) == 2
    for _ in range(6):
        await gateway.clock.sleep(20.0)
        assert len(await socket.replies(f"smd+265598+{L1}")) == (2 if answered else 0)
    assert socket.peer.subscriptions == ("smd+265598",)
    await gateway.wait_for(lambda: socket.peer.subscriptions == ())
    assert len(await socket.replies(f"smd+265598+{L1}")) == 2


@pytest.mark.parametrize("again", [["smd+265598+{}"], ["umd+265598+{}", "smd+265598+{}"]])
async def test_ended_stream_sends_nothing_until_the_next_subscribe(
    start_gateway: StartGateway, connect: Connect, again: list[str]
) -> None:
    gateway = await start_gateway(keep_log=True)
    socket = await connect(gateway)
    await socket.replies(f"smd+265598+{L1}", f"smd+8314+{L1}", f"smd+265598@NYSE+{L1}")
    assert gateway.faults.end_stream("265598") == 1
    assert gateway.faults.end_stream("265598") == 0
    assert socket.peer.subscriptions == ("smd+8314", "smd+265598@NYSE")
    gateway.log.clear()
    await gateway.wait_for(lambda: len(gateway.log) > 20)
    assert not [frame for frame in gateway.log if frame.topic == "smd+265598"]
    await socket.replies(*again)
    assert "smd+265598" in socket.peer.subscriptions
    assert [frame.topic for frame in gateway.log].count("smd+265598") >= 2


async def test_subscribes_can_be_dropped_without_a_reply(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(tick_intervals={265598: 1e6})
    socket = await connect(gateway)
    gateway.faults.drop_subscribes(2)
    assert await socket.replies(f"smd+265598+{L1}", "umd+265598+{}", "sor+{}") == []
    # The umd of nothing is ignored for its own reason.
    assert socket.peer.ignored == 3
    assert socket.peer.subscriptions == ()
    await socket.replies(f"smd+265598+{L1}", "sor+{}")
    assert socket.peer.subscriptions == ("smd+265598", "sor")
    gateway.faults.drop_subscribes(1, channels=["str"])
    await socket.replies("spl+{}", "str+{}")
    assert socket.peer.subscriptions == ("smd+265598", "sor", "spl")
    gateway.faults.drop_subscribes(0)


async def test_orders_are_refused_so_many_times(gateway: SimulatedGateway, socket: Socket) -> None:
    gateway.faults.refuse_order_subscribes(2)
    for _ in range(2):
        assert [json.loads(answer) for answer in await socket.replies("sor+{}")] == [
            {"error": "unable to subscribe", "code": 500, "topic": "sor"}
        ]
    await socket.replies("sor+{}")
    assert socket.peer.subscriptions == ("sor",)


@pytest.mark.parametrize("status", [502, 503])
async def test_maintenance_drops_sockets_and_refuses_everything(
    gateway: SimulatedGateway, connect: Connect, socket: Socket, session: aiohttp.ClientSession, status: int
) -> None:
    before = gateway.session_id
    gateway.faults.begin_maintenance(status)
    await socket.closed()
    async with session.post(gateway.url + "/tickle") as response:
        assert (response.status, response.content_type) == (status, "text/html")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(gateway.ws_url, headers={"Cookie": session_cookie(gateway)})
    assert caught.value.status == status
    gateway.faults.end_maintenance()
    assert gateway.session_id == before
    fresh = await connect(gateway)
    assert len(await fresh.replies(f"smd+265598+{L1}")) >= 2


@pytest.mark.parametrize("is_logged_in", [True, False])
async def test_nightly_reset_ends_with_another_session_or_none(
    start_gateway: StartGateway, connect: Connect, session: aiohttp.ClientSession, is_logged_in: bool
) -> None:
    gateway = await start_gateway(speed=1_000.0)
    socket = await connect(gateway)
    before, start_s = gateway.session_id, gateway.clock.monotonic_s()
    reset = asyncio.ensure_future(gateway.faults.run_nightly_reset(outage_s=600.0, is_logged_in=is_logged_in))
    await socket.closed()
    async with session.post(gateway.url + "/tickle") as response:
        assert response.status == 503
    await reset
    # A loop's timers are a millisecond early at times, which is a second here.
    assert gateway.clock.monotonic_s() - start_s > 500.0
    async with session.post(gateway.url + "/tickle") as response:
        assert response.status == (200 if is_logged_in else 401)
        if is_logged_in:
            assert (await response.json())["session"] == gateway.session_id != before


async def test_nightly_reset_may_leave_the_brokerage_session_closed(
    gateway: SimulatedGateway, session: aiohttp.ClientSession
) -> None:
    await gateway.faults.run_nightly_reset(outage_s=0.0, has_brokerage=False)
    async with session.post(gateway.url + "/tickle") as response:
        status = (await response.json())["iserver"]["authStatus"]
    assert (status["connected"], status["authenticated"]) == (True, False)


async def test_burst_comes_whole_and_in_turn(start_gateway: StartGateway, connect: Connect) -> None:
    quiet = {265598: 1e6, 8314: 1e6}
    gateway = await start_gateway(tick_intervals=quiet, keep_log=True, heartbeat_interval_s=1e6, stream_lifetime_s=1e6)
    socket = await connect(gateway, max_msg_size=0)
    assert await gateway.faults.send_burst(10) == 0
    await socket.replies(f"smd+265598+{L1}", f"smd+8314+{L1}")
    gateway.log.clear()
    sending = asyncio.ensure_future(gateway.faults.send_burst(20_001))
    found = [await socket.frame() for _ in range(20_001)]
    assert await sending == 20_001
    assert found == [frame.payload for frame in gateway.log]
    topics = [topic_of(payload) for payload in found]
    assert abs(topics.count("smd+265598") - topics.count("smd+8314")) <= 1_000
    assert socket.peer.counters.frames_dropped == 0


async def test_burst_gives_up_on_streams_that_never_change(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(inactive_conids=frozenset({7}))
    socket = await connect(gateway)
    await socket.replies(f"smd+7+{L1}")
    assert await gateway.faults.send_burst(10) == 0


async def test_fragmented_frames_are_the_same_frames(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(rate=2_000.0, speed=1.0, keep_log=True)
    socket = await connect(gateway)
    gateway.faults.fragment_frames()
    gateway.log.clear()
    await socket.send(f"smd+265598+{L1}")
    # More than a frame has places to cut it at.
    found = [await socket.frame() for _ in range(400)]
    assert found == [frame.payload for frame in gateway.log[:400]]
    later = await connect(gateway)
    assert later.peer.writer.is_fragmenting
    gateway.faults.fragment_frames(on=False)
    assert not later.peer.writer.is_fragmenting


@pytest.mark.each_loop
async def test_log_has_what_was_written_in_order_and_when(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(keep_log=True)
    before_ns = time.time_ns()
    first = await connect(gateway, is_ready=False)
    second = await connect(gateway, is_ready=False)
    for socket in (first, second):
        await socket.send(f"smd+265598+{L1}")
    await gateway.wait_for(lambda: len(gateway.log) > 40)
    gateway.faults.send_frame(b'{"topic":"ntf","args":[]}')
    gateway.faults.send_frame(b'{"half":', fin=False)
    gateway.faults.send_frame(b"1}", opcode=0)
    await first.send("ech+hb")
    seen: list[bytes] = []
    while (frame := await first.frame()) != b"ech+hb":
        seen.append(frame)
    # Of fragments written by hand the log knows nothing.
    seen.remove(b'{"half":1}')
    own = [frame for frame in gateway.log if frame.connection == first.peer.number - 1]
    assert [frame.payload for frame in own][: len(seen)] == seen
    assert {frame.connection for frame in gateway.log} == {1, 2}
    times = [frame.sent_ns for frame in gateway.log]
    assert times == sorted(times)
    # The machine's own time, though the gateway's runs fifty times as fast.
    assert before_ns <= times[0] <= times[-1] <= time.time_ns()
    for frame in gateway.log:
        decoded = json.loads(frame.payload) if frame.payload != b"ech+hb" else {}
        assert frame.topic == decoded.get("topic", "")


async def test_log_has_what_is_held_back_only_once_it_is_written(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(keep_log=True)
    socket = await connect(gateway)
    await socket.replies(f"smd+265598+{L1}")
    gateway.faults.stall()
    gateway.log.clear()
    gateway.faults.send_notification("held back")
    assert gateway.log == []
    released_ns = time.time_ns()
    gateway.faults.resume()
    assert gateway.log[0].topic == "ntf"
    assert gateway.log[0].sent_ns >= released_ns
    await socket.topic("ntf")
    gateway.faults.stall()
    gateway.faults.send_notification("never written")
    gateway.log.clear()
    gateway.faults.drop_sockets()
    gateway.faults.resume()
    assert gateway.log == []


async def test_log_is_without_what_was_dropped(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(keep_log=True, write_buffer_limit_bytes=300_000)
    socket = await connect(gateway, max_msg_size=0)
    transport = socket.ws._response.connection.transport
    transport.pause_reading()
    gateway.log.clear()
    already = socket.peer.counters.frames_sent
    sent = 0
    while not socket.peer.counters.frames_dropped:
        gateway.faults.send_bulletin("x" * 20_000)
        sent += 1
        await asyncio.sleep(0)
    counters = socket.peer.counters
    assert len(gateway.log) == counters.frames_sent - already
    assert sum(frame.topic == "blt" for frame in gateway.log) == sent - counters.frames_dropped
    transport.abort()


async def test_no_log_without_the_option(gateway: SimulatedGateway, socket: Socket) -> None:
    await socket.replies(f"smd+265598+{L1}")
    assert gateway.log == []
