"""What a test can do to the simulated gateway while a client is connected, and its replay of files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from cpapi_fast.errors import ConfigError
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import StartGateway

from .conftest import Connect
from .plain_client import L1, Socket, options, session_cookie

WS = aiohttp.WSMsgType


@pytest.mark.each_loop
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("reset", [False, True])
async def test_dropped_socket_ends_without_a_close_frame(
    start_gateway: StartGateway, connect: Connect, tls: bool, reset: bool
) -> None:
    gateway = await start_gateway(tls=tls)
    socket = await connect(gateway, ssl=False)
    gateway.faults.drop_sockets(reset=reset)
    message = await socket.closed()
    # A CLOSE frame would be WS.CLOSE. (The close_code of aiohttp is 1000 for an end of stream on some loops.)
    assert message.type in (WS.CLOSED, WS.ERROR)
    await gateway.wait_for(lambda: not gateway.open_connections)
    assert gateway.connections[0].close_code is None


@pytest.mark.each_loop
@pytest.mark.parametrize("reset", [False, True])
async def test_writer_properties_can_be_read_at_every_moment_of_a_drop(
    start_gateway: StartGateway, connect: Connect, reset: bool
) -> None:
    gateway = await start_gateway(tls=True)
    socket = await connect(gateway, ssl=False)
    writer = gateway.connections[0].writer
    gateway.faults.drop_sockets(reset=reset)
    rounds = 0
    while gateway.open_connections:
        # The calls of the publisher and of tests, in every iteration of the loop while TLS closes.
        assert writer.waiting_bytes == 0
        assert not writer.is_congested
        writer.hold()
        writer.release()
        await asyncio.sleep(0)
        rounds += 1
    assert rounds > 0
    await socket.closed()


@pytest.mark.each_loop
async def test_reset_is_a_reset(gateway: SimulatedGateway) -> None:
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    head = (
        f"GET /v1/api/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n"
    )
    writer.write(head.encode())
    await reader.readuntil(b'session"}')
    gateway.faults.drop_sockets(reset=True)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()


async def test_close_carries_its_code_and_reason(gateway: SimulatedGateway, socket: Socket) -> None:
    gateway.faults.close_sockets(4321, "going down")
    message = await socket.closed()
    assert (message.type, message.data, message.extra) == (WS.CLOSE, 4321, "going down")
    await gateway.wait_for(lambda: not gateway.open_connections)


@pytest.mark.each_loop
@pytest.mark.parametrize("tls", [False, True])
async def test_stalled_gateway_neither_reads_nor_writes_until_it_resumes(
    start_gateway: StartGateway, connect: Connect, session: aiohttp.ClientSession, tls: bool
) -> None:
    gateway = await start_gateway(tls=tls)
    socket = await connect(gateway, ssl=False)
    await socket.replies(f"smd+265598+{L1}")
    gateway.faults.stall()
    # What was on its way may still arrive, then nothing does: no data, no heartbeat, no reply.
    await socket.until_quiet(0.3)
    await socket.send("tic")
    with pytest.raises(asyncio.TimeoutError):
        await socket.ws.receive(timeout=0.5)
    assert [text.text for text in socket.peer.received].count("tic") == 0
    call = asyncio.ensure_future(session.post(gateway.url + "/tickle", ssl=False))
    await asyncio.sleep(0.1)
    assert not call.done()
    gateway.faults.resume()
    assert (await socket.topic("tic"))["alive"] is True
    async with await call as response:
        assert response.status == 200
    await socket.topic("smd+265598")


async def test_expired_session_ends_brokerage_topics_without_a_frame(
    gateway: SimulatedGateway, socket: Socket, session: aiohttp.ClientSession
) -> None:
    await socket.replies(f"smd+265598+{L1}", "spl+{}", "sor+{}")
    gateway.faults.end_brokerage_session()
    assert (await socket.topic("sts"))["args"] == {"authenticated": False}
    assert socket.peer.subscriptions == ("spl",)
    await socket.topic("spl")
    await socket.until(lambda frame: "hb" in frame)
    async with session.post(gateway.url + "/tickle") as response:
        status = (await response.json())["iserver"]["authStatus"]
    assert (status["connected"], status["authenticated"]) == (True, False)


async def test_idle_brokerage_session_expires_whatever_the_socket_does(
    start_gateway: StartGateway, connect: Connect
) -> None:
    gateway = await start_gateway(idle_timeout_s=360.0, speed=500.0)
    # Before the requests of `connect`, so that a slow connect does not look like an early end.
    start_s = gateway.clock.monotonic_s()
    socket = await connect(gateway)
    await socket.send("tic")
    assert (await socket.topic("sts"))["args"] == {"authenticated": False}
    # It is never early; a busy machine may be late by seconds, hundreds of which pass here in one.
    assert 355.0 < gateway.clock.monotonic_s() - start_s < 3_600.0


async def test_rest_calls_keep_the_brokerage_session(
    start_gateway: StartGateway, connect: Connect, session: aiohttp.ClientSession
) -> None:
    # A call comes every 0.7 s of real time, and may be late by 1.7 s.
    gateway = await start_gateway(idle_timeout_s=360.0, speed=150.0)
    socket = await connect(gateway)
    for _ in range(5):
        await gateway.clock.sleep(100.0)
        async with session.post(gateway.url + "/tickle") as response:
            assert (await response.json())["iserver"]["authStatus"]["authenticated"] is True
    assert not [frame for frame in await socket.replies() if b'"sts"' in frame]


async def test_log_out_stops_all_frames_and_log_in_creates_another_session(
    gateway: SimulatedGateway, connect: Connect, socket: Socket, session: aiohttp.ClientSession
) -> None:
    before = gateway.session_id
    await socket.replies("spl+{}")
    gateway.faults.log_out()
    assert (await socket.topic("sts"))["args"] == {"authenticated": False}
    await gateway.clock.sleep(1.0)
    # More than one heartbeat interval.
    await socket.until_quiet(0.3)
    async with session.post(gateway.url + "/tickle") as response:
        assert response.status == 401
    gateway.faults.log_in()
    assert gateway.session_id != before
    fresh = await connect(gateway)
    await fresh.replies(f"smd+1+{L1}")
    assert fresh.peer.subscriptions == ("smd+1",)


async def test_changed_session_id_leaves_a_socket_with_heartbeats_only(
    gateway: SimulatedGateway, connect: Connect, socket: Socket
) -> None:
    await socket.replies(f"smd+265598+{L1}", "spl+{}")
    before = gateway.session_id
    gateway.faults.change_session_id()
    assert gateway.session_id != before
    assert not [frame for frame in await socket.replies() if b'"sts"' in frame]
    frames = [await socket.json() for _ in range(3)]
    assert all("hb" in frame for frame in frames)
    assert await socket.replies(f"smd+8314+{L1}") == []
    assert json.loads((await socket.replies("tic"))[0])["id"] == before
    fresh = await connect(gateway)
    assert len(await fresh.replies(f"smd+8314+{L1}")) >= 2


async def test_competing_login_takes_the_session_until_it_is_taken_back(
    gateway: SimulatedGateway, socket: Socket, session: aiohttp.ClientSession
) -> None:
    await socket.replies(f"smd+265598+{L1}")
    gateway.faults.start_competing()
    assert (await socket.topic("sts"))["args"] == {"authenticated": False}
    assert (await socket.topic("sts"))["args"] == {"competing": True}
    assert socket.peer.subscriptions == ()
    init = gateway.url + "/iserver/auth/ssodh/init"
    async with session.post(init, json={"publish": True, "compete": False}) as response:
        assert (await response.json())["competing"] is True
    async with session.post(init, json={"publish": True, "compete": True}) as response:
        status = await response.json()
    assert (status["authenticated"], status["competing"]) == (True, False)
    assert (await socket.topic("sts"))["args"] == {"competing": False}
    assert (await socket.topic("sts"))["args"] == {"authenticated": True}


async def test_competition_may_end_by_itself(
    gateway: SimulatedGateway, socket: Socket, session: aiohttp.ClientSession
) -> None:
    gateway.faults.start_competing()
    gateway.faults.stop_competing()
    assert [frame["args"] for frame in await socket.several("sts", 3)] == [
        {"authenticated": False},
        {"competing": True},
        {"competing": False},
    ]
    async with session.post(gateway.url + "/iserver/auth/status") as response:
        status = await response.json()
    assert (status["authenticated"], status["competing"]) == (False, False)


async def test_given_bytes_frames_and_pings_are_sent(
    start_gateway: StartGateway, session: aiohttp.ClientSession
) -> None:
    gateway = await start_gateway(heartbeat_interval_s=1e6)
    cookie = {"Cookie": session_cookie(gateway)}
    async with session.ws_connect(gateway.ws_url, headers=cookie) as ws:
        for _ in range(3):
            await ws.receive(timeout=5)
        gateway.faults.send_frame(b"te", opcode=1, fin=False)
        gateway.faults.send_bytes(b"\x80\x02xt")
        message = await ws.receive(timeout=5)
        assert (message.type, message.data) == (WS.TEXT, "text")
        gateway.faults.ping(b"ping 1")
        reading = asyncio.ensure_future(ws.receive())
        await gateway.wait_for(lambda: gateway.connections[0].pongs)
        assert list(gateway.connections[0].pongs) == [b"ping 1"]
        gateway.faults.send_bytes(b"\xff\xff garbage")
        assert (await asyncio.wait_for(reading, 30)).type is WS.ERROR


# --- a client that does not read -------------------------------------------------------------------------------------


async def test_client_that_does_not_read_gets_conflated_data_and_bounded_memory(
    start_gateway: StartGateway, connect: Connect
) -> None:
    gateway = await start_gateway(speed=1.0, rate=100_000.0, write_buffer_limit_bytes=600_000, keep_sent=0)
    socket = await connect(gateway, max_msg_size=0)
    for conid in range(40):
        await socket.send(f"smd+{conid}+{L1}")
    transport = socket.ws._response.connection.transport
    transport.pause_reading()
    await gateway.wait_for(lambda: socket.peer.counters.updates_conflated > 1_000, timeout_s=60)
    writer = socket.peer.writer
    assert writer.waiting_bytes < 600_000
    for _ in range(400):
        # What is no market data waits too, but not without bound.
        gateway.faults.send_bulletin("x" * 2_000)
    assert socket.peer.counters.frames_dropped > 0
    assert writer.waiting_bytes <= 600_000
    transport.abort()


# --- replay ----------------------------------------------------------------------------------------------------------

LINES = [
    b'{"topic":"smd+265598","conid":265598}',
    b"",
    b" spaces stay \t",
    b"not JSON, not UTF-8 \x99\xff",
    b"a lone \r stays",
    b"\xc3\xa9" * 40_000,
    b"{}",
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["LF", "CRLF", "none at the end"])
@pytest.mark.parametrize("tls", [False, True])
async def test_replay_sends_every_line_once_in_order_and_byte_for_byte(
    start_gateway: StartGateway, connect: Connect, tmp_path: Path, end: bytes, tls: bool
) -> None:
    file = tmp_path / "frames.jsonl"
    separator = end or b"\n"
    file.write_bytes(separator.join(LINES) + end)
    gateway = await start_gateway(tls=tls, replay=file)
    socket = await connect(gateway, ssl=False)
    found: list[bytes] = []
    while len(found) < len(LINES):
        frame = await socket.frame()
        if b'"hb":' not in frame:
            found.append(frame)
    assert found == LINES
    await asyncio.wait_for(gateway.replay_done.wait(), 5)
    assert socket.peer.is_replayed
    assert "hb" in await socket.json()


async def test_replay_of_much_data_reaches_a_slow_client_whole(
    start_gateway: StartGateway, connect: Connect, tmp_path: Path
) -> None:
    lines = [b'{"topic":"n","n":%d,"pad":"%s"}' % (n, b"x" * (n % 300)) for n in range(40_000)]
    file = tmp_path / "frames.txt"
    file.write_bytes(b"\n".join(lines) + b"\n")
    gateway = await start_gateway(replay=file, heartbeat_interval_s=1e6)
    socket = await connect(gateway)
    await asyncio.sleep(0.2)
    assert not gateway.replay_done.is_set()
    assert socket.peer.writer.waiting_bytes < 600_000
    for number, line in enumerate(lines):
        assert await socket.frame() == line, number
    assert socket.peer.counters.frames_dropped == 0


async def test_replay_mixes_with_market_data_only_when_subscribed_and_keeps_to_a_rate(
    start_gateway: StartGateway, connect: Connect, tmp_path: Path
) -> None:
    file = tmp_path / "frames.txt"
    file.write_bytes(b"".join(b'{"topic":"n","n":%d}\n' % n for n in range(50)))
    gateway = await start_gateway(replay=file, rate=100.0, speed=1.0)
    socket = await connect(gateway)
    start_s = gateway.clock.monotonic_s()
    frames = [await socket.json() for _ in range(50)]
    assert [frame["n"] for frame in frames] == list(range(50))
    assert 0.4 < gateway.clock.monotonic_s() - start_s < 5.0


async def test_replay_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    for path, match in (
        (tmp_path / "missing.jsonl", "cannot read the replay file"),
        (tmp_path, "there is no capture in"),
    ):
        with pytest.raises(ConfigError, match=match) as caught:
            await SimulatedGateway(options(replay=path)).start()
        assert str(path) in str(caught.value)
