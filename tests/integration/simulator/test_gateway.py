"""The simulated gateway's socket: opening, market data, heartbeats. Each stated quirk is one test."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import StartGateway

from .conftest import Connect
from .plain_client import L1, Socket, connected, options, session_cookie

ALWAYS = ["server_id", "conidEx", "conid", "_updated", "6119"]


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("system", "act", "sts"), ("sts", "system", "act")])
async def test_opening_burst_comes_in_the_order_chosen(
    start_gateway: StartGateway, connect: Connect, order: tuple[str, ...]
) -> None:
    gateway = await start_gateway(opening_burst=order)
    socket = await connect(gateway, is_ready=False)
    raw = [await socket.frame() for _ in range(3)]
    frames = {frame["topic"]: frame for frame in map(json.loads, raw)}
    assert tuple(frames) == order
    assert frames["system"]["success"] == "user1234"
    assert 1_200 < len(raw[order.index("act")]) < 1_500
    assert frames["sts"]["args"]["authenticated"] is True


@pytest.mark.parametrize(
    "form", ['api={{"session":"{}"}}', 'api={{"session": "{}"}}', "api={}", 'x=1; api={{"session":"{}"}}']
)
async def test_every_documented_form_of_the_cookie_opens_the_session(
    gateway: SimulatedGateway, connect: Connect, form: str
) -> None:
    cookie = form.format(gateway.session_id)
    socket = await connect(gateway, cookie=cookie, is_ready=False)
    assert (await socket.json())["topic"] == "system"


async def test_socket_without_cookie_waits_for_the_text_handshake(gateway: SimulatedGateway, connect: Connect) -> None:
    socket = await connect(gateway, has_cookie=False, is_ready=False)
    assert await socket.frame() == b'{"message":"waiting for session"}'
    await socket.send(json.dumps({"session": gateway.session_id}))
    assert (await socket.json())["topic"] == "system"


async def test_wrong_session_keeps_waiting(start_gateway: StartGateway, connect: Connect) -> None:
    cookie = f"api={'0' * 32}"
    gateway = await start_gateway()
    socket = await connect(gateway, cookie=cookie, is_ready=False)
    assert await socket.frame() == b'{"message":"waiting for session"}'
    await socket.send(json.dumps({"session": "f" * 32}))
    assert await socket.frame() == b'{"message":"waiting for session"}'


async def test_text_handshake_on_an_authenticated_socket_is_an_unknown_topic(
    gateway: SimulatedGateway, socket: Socket
) -> None:
    await socket.send(json.dumps({"session": gateway.session_id}))
    frame = await socket.json()
    assert frame["code"] == 1
    assert frame["error"].startswith("Topic unknown")
    assert gateway.session_id not in json.dumps(frame)


async def test_subscribe_before_ready_is_ignored_without_a_reply(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(ready_delay_s=10.0)
    socket = await connect(gateway, is_ready=False)
    assert await socket.replies(f"smd+265598+{L1}") == []
    assert socket.peer.ignored == 1
    for _ in range(3):
        await socket.frame()
    # Ready now, and still nothing: the subscribe is gone, not late.
    await gateway.clock.sleep(3.0)
    assert await socket.replies() == []
    assert len(await socket.replies(f"smd+265598+{L1}")) >= 2


async def test_gateway_can_stay_not_ready(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(ready_delay_s=None)
    socket = await connect(gateway, is_ready=False)
    await gateway.clock.sleep(15.0)
    assert await socket.replies() == []


async def test_connecting_without_a_login_is_closed_with_1000(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(is_logged_in=False)
    socket = await connect(gateway, is_ready=False)
    message = await socket.closed()
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)
    await gateway.wait_for(lambda: socket.peer.close_code == 1000)


async def test_no_extension_is_negotiated(gateway: SimulatedGateway, connect: Connect) -> None:
    socket = await connect(gateway, compress=15)
    assert socket.ws.compress == 0


# --- market data -----------------------------------------------------------------------------------------------------


@pytest.mark.each_loop
async def test_first_snapshot_comes_twice_in_two_key_orders(socket: Socket) -> None:
    await socket.send(f"smd+265598+{L1}")
    first, second = await socket.json(), await socket.json()
    assert next(iter(first)) == "6509"
    assert list(first)[2] == "topic"
    assert next(iter(second)) == "server_id"
    assert list(second)[-1] == "topic"
    assert first == second
    assert first["conid"] == 265598
    assert first["6119"] == first["server_id"]


async def test_deltas_hold_what_changed_and_topic_last(socket: Socket) -> None:
    await socket.send(f"smd+265598+{L1}")
    state = await socket.json()
    await socket.json()
    for _ in range(60):
        delta = await socket.topic("smd+265598")
        assert list(delta)[:5] == ALWAYS
        assert list(delta)[-1] == "topic"
        changed = set(delta) - {*ALWAYS, "topic", "6508"}
        assert changed
        assert all(delta[code] != state.get(code) for code in changed)
        state |= delta


async def test_deltas_lie_on_a_grid_of_500_ms(socket: Socket) -> None:
    await socket.replies(f"smd+265598+{L1}", f"smd+8314+{L1}")
    times = [(await socket.until(lambda frame: "_updated" in frame))["_updated"] for _ in range(60)]
    assert len(set(times)) > 10
    assert {(time - times[0]) % 500 for time in times} == {0}
    assert times == sorted(times)


async def test_prices_are_strings_and_83_is_a_number(socket: Socket) -> None:
    await socket.send(f"smd+265598+{L1}")
    seen: dict[str, set[type]] = {}
    for frame in await socket.several("smd+265598", 60):
        for code, value in frame.items():
            seen.setdefault(code, set()).add(type(value))
    assert seen["83"] == {float}
    assert seen["87_raw"] == {float}
    assert all(seen[code] == {str} for code in ("31", "84", "86", "85", "88", "87", "6509", "6119"))
    assert seen["conid"] == seen["_updated"] == {int}


async def test_6508_comes_once_in_an_early_delta_and_6509_in_snapshots_only(socket: Socket) -> None:
    await socket.send(f"smd+265598+{L1}")
    frames = await socket.several("smd+265598", 30)
    assert [number for number, frame in enumerate(frames) if "6508" in frame] == [2]
    assert [number for number, frame in enumerate(frames) if "6509" in frame] == [0, 1]


async def test_inactive_conid_sends_na_and_a_dash_and_never_ticks(
    start_gateway: StartGateway, connect: Connect
) -> None:
    gateway = await start_gateway(inactive_conids=frozenset({8595}))
    socket = await connect(gateway)
    frames = [json.loads(frame) for frame in await socket.replies(f"smd+8595+{L1}")]
    assert [(frame["55"], frame["31"], "84" in frame) for frame in frames] == [("-", "N/A", False)] * 2
    assert [list(frame).index("topic") for frame in frames] == [2, len(frames[1]) - 1]
    await gateway.clock.sleep(20.0)
    assert await socket.replies() == []


async def test_with_conids_all_others_are_inactive(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(conids=(265598,))
    socket = await connect(gateway)
    assert b'"N/A"' in (await socket.replies(f"smd+8314+{L1}"))[0]
    assert b'"N/A"' not in (await socket.replies(f"smd+265598+{L1}"))[0]


@pytest.mark.parametrize(
    ("target", "conid"),
    [("265598@NYSE", 265598), ("0;;;76792991/1,272093/-1", 0), ("28812380;;;265598/1,272093/-2", 28812380)],
)
async def test_exchange_and_combination_targets_keep_their_topic(socket: Socket, target: str, conid: int) -> None:
    frames = [json.loads(frame) for frame in await socket.replies(f"smd+{target}+{L1}")]
    assert {(frame["topic"], frame["conidEx"], frame["conid"]) for frame in frames} == {
        (f"smd+{target}", target, conid)
    }
    await socket.topic(f"smd+{target}")
    await socket.replies(f"umd+{target}+{{}}")
    assert socket.peer.subscriptions == ()


async def test_a_repeated_subscribe_adds_fields_and_keeps_the_server_id(socket: Socket) -> None:
    await socket.replies('smd+265598+{"fields":["84"]}')
    frames = [json.loads(frame) for frame in await socket.replies('smd+265598+{"fields":["86"]}')]
    assert any({"84", "86"} <= set(frame) for frame in frames)
    assert {frame["server_id"] for frame in frames} == {"q0"}


async def test_stream_ends_without_a_frame_after_10_minutes_unless_renewed(
    start_gateway: StartGateway, connect: Connect
) -> None:
    gateway = await start_gateway(speed=300.0)
    socket = await connect(gateway)
    start_s = gateway.clock.monotonic_s()
    await socket.send(f"smd+265598+{L1}")
    await socket.send(f"smd+8314+{L1}")
    await gateway.clock.sleep(400.0)
    await socket.send(f"smd+8314+{L1}")
    await gateway.wait_for(lambda: socket.peer.subscriptions == ("smd+8314",))
    lived_s = gateway.clock.monotonic_s() - start_s
    # The other one lasts until 1,000 s at least, which leaves time for a busy machine.
    assert 600.0 <= lived_s < 1_000.0
    frames = [json.loads(frame) for frame in await socket.replies()]
    assert not [frame for frame in frames if "topic" not in frame]
    await socket.topic("smd+8314")
    await socket.until(lambda frame: "hb" in frame)


async def test_unsubscribe_is_not_acknowledged_and_ends_the_stream(gateway: SimulatedGateway, socket: Socket) -> None:
    await socket.replies(f"smd+265598+{L1}")
    await socket.replies("umd+265598+{}")
    await gateway.clock.sleep(20.0)
    assert await socket.replies() == []


async def test_server_ids_count_up_across_sockets(gateway: SimulatedGateway) -> None:
    seen = []
    for conids in ((1, 2), (3,), (1,)):
        async with connected(gateway) as socket:
            for conid in conids:
                await socket.send(f"smd+{conid}+{L1}")
                seen.append((await socket.topic(f"smd+{conid}"))["server_id"])
    assert seen == ["q0", "q1", "q2", "q3"]


async def test_subscriptions_end_with_their_socket(gateway: SimulatedGateway, connect: Connect) -> None:
    async with connected(gateway) as socket:
        await socket.replies(f"smd+265598+{L1}", "spl+{}")
    socket = await connect(gateway)
    await gateway.clock.sleep(20.0)
    assert await socket.replies() == []


async def test_lines_over_the_limit_are_ignored_without_a_reply(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(market_data_lines=2)
    socket = await connect(gateway)
    await socket.replies(*(f"smd+{conid}+{L1}" for conid in (1, 2, 3)))
    assert socket.peer.subscriptions == ("smd+1", "smd+2")
    await socket.replies("umd+1+{}", f"smd+3+{L1}")
    assert socket.peer.subscriptions == ("smd+2", "smd+3")


@pytest.mark.parametrize("text", ["smd+abc+{}", 'smd+1"2+{}', "smd+", "smd+265598@+{}", "umd+1+{}", "smh+x+{}"])
async def test_invalid_texts_get_no_reply(socket: Socket, text: str) -> None:
    assert await socket.replies(text) == []
    assert socket.peer.ignored == 1


async def test_same_seed_and_order_give_the_same_frames() -> None:
    async def frames(seed: int, conids: tuple[int, ...]) -> dict[str, list[str]]:
        async with SimulatedGateway(options(seed=seed)) as gateway, connected(gateway) as socket:
            for conid in conids:
                await socket.send(f"smd+{conid}+{L1}")
            found: dict[str, list[str]] = {f"smd+{conid}": [] for conid in conids}
            while min(map(len, found.values())) < 12:
                frame = await socket.until(lambda frame: "_updated" in frame)
                del frame["_updated"]
                found[frame["topic"]].append(json.dumps(frame))
            return {topic: frames[:12] for topic, frames in found.items()}

    one = await frames(3, (265598, 8314, 272093))
    assert one == await frames(3, (265598, 8314, 272093))
    assert one != await frames(4, (265598, 8314, 272093))


async def test_a_rate_is_kept(start_gateway: StartGateway, connect: Connect) -> None:

    async def drain(ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await ws.receive()

    gateway = await start_gateway(speed=1.0, rate=20_000.0, keep_sent=0)
    socket = await connect(gateway)
    for conid in range(1, 21):
        await socket.send(f"smd+{conid}+{L1}")
    await gateway.wait_for(lambda: len(socket.peer.subscriptions) == 20)
    before, start_s = socket.peer.counters.frames_sent, gateway.clock.monotonic_s()
    reader = asyncio.ensure_future(drain(socket.ws))
    await asyncio.sleep(0.7)
    rate = (socket.peer.counters.frames_sent - before) / (gateway.clock.monotonic_s() - start_s)
    reader.cancel()
    # A busy machine may not reach it; it is never exceeded by more than what a stall saved up.
    assert 2_000 < rate < 40_000


# --- heartbeats and small talk ---------------------------------------------------------------------------------------


async def test_heartbeat_comes_every_ten_seconds(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(speed=50.0)
    socket = await connect(gateway)
    beats = [(await socket.until(lambda frame: "hb" in frame)) for _ in range(8)]
    assert all(list(beat) == ["topic", "hb"] and beat["topic"] == "system" for beat in beats)
    times = [beat["hb"] for beat in beats]
    # Not five and not twenty; a stall of the machine is 50 times as long here.
    assert 6_000 < (times[-1] - times[0]) / 7 < 14_000


async def test_tic_gets_four_equal_replies(gateway: SimulatedGateway, socket: Socket) -> None:
    frames = await socket.replies("tic")
    assert len(frames) == 4
    assert len(set(frames)) == 1
    assert list(json.loads(frames[0])) == ["topic", "alive", "id", "lastAccessed"]
    assert json.loads(frames[0])["id"] == gateway.session_id


async def test_echo_is_no_json(socket: Socket) -> None:
    await socket.send("ech+hb")
    assert await socket.frame() == b"ech+hb"


async def test_binary_from_the_client_counts_as_text(socket: Socket) -> None:
    await socket.ws.send_bytes(b"tic")
    assert (await socket.json())["topic"] == "tic"
    assert [text.text for text in socket.peer.received] == ["tic"]


async def test_unknown_topic_is_an_error_frame(socket: Socket) -> None:
    assert await socket.replies("xyz+{}") == [b'{"error":"Topic unknown xyz","code":1}']


async def test_ping_gets_a_pong_and_close_is_echoed(gateway: SimulatedGateway, session: aiohttp.ClientSession) -> None:
    cookie = {"Cookie": session_cookie(gateway)}
    async with session.ws_connect(gateway.ws_url, headers=cookie, autoping=False, autoclose=False) as ws:
        await ws.ping(b"are you there")
        while (message := await ws.receive(timeout=5)).type is aiohttp.WSMsgType.BINARY:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"are you there")
        await ws.close(code=4001)
        assert ws.close_code == 4001
    assert list(gateway.connections[0].pings) == [b"are you there"]
    await gateway.wait_for(lambda: gateway.connections[0].close_code == 4001)
    assert not gateway.open_connections
