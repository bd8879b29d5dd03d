"""The simulated gateway's socket: opening, market data, heartbeats. Each stated quirk is one test."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.support import LOOPS, run

from .plain_client import L1, connected, http, options, session_cookie

ALWAYS = ["server_id", "conidEx", "conid", "_updated", "6119"]


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("system", "act", "sts"), ("sts", "system", "act")])
def test_opening_burst_comes_in_the_order_chosen(order: tuple[str, ...]) -> None:
    async def main() -> None:
        async with (
            SimulatedGateway(options(opening_burst=order)) as gateway,
            connected(gateway, is_ready=False) as socket,
        ):
            raw = [await socket.frame() for _ in range(3)]
            frames = {frame["topic"]: frame for frame in map(json.loads, raw)}
            assert tuple(frames) == order
            assert frames["system"]["success"] == "user1234"
            assert 1_200 < len(raw[order.index("act")]) < 1_500
            assert frames["sts"]["args"]["authenticated"] is True

    run(main())


@pytest.mark.parametrize(
    "form", ['api={{"session":"{}"}}', 'api={{"session": "{}"}}', "api={}", 'x=1; api={{"session":"{}"}}']
)
def test_every_documented_form_of_the_cookie_opens_the_session(form: str) -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway:
            cookie = form.format(gateway.session_id)
            async with connected(gateway, cookie=cookie, is_ready=False) as socket:
                assert (await socket.json())["topic"] == "system"

    run(main())


def test_socket_without_cookie_waits_for_the_text_handshake() -> None:
    async def main() -> None:
        async with (
            SimulatedGateway(options()) as gateway,
            connected(gateway, has_cookie=False, is_ready=False) as socket,
        ):
            assert await socket.frame() == b'{"message":"waiting for session"}'
            await socket.send(json.dumps({"session": gateway.session_id}))
            assert (await socket.json())["topic"] == "system"

    run(main())


def test_wrong_session_keeps_waiting() -> None:
    async def main() -> None:
        cookie = f"api={'0' * 32}"
        async with SimulatedGateway(options()) as gateway, connected(gateway, cookie=cookie, is_ready=False) as socket:
            assert await socket.frame() == b'{"message":"waiting for session"}'
            await socket.send(json.dumps({"session": "f" * 32}))
            assert await socket.frame() == b'{"message":"waiting for session"}'

    run(main())


def test_text_handshake_on_an_authenticated_socket_is_an_unknown_topic() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.send(json.dumps({"session": gateway.session_id}))
            frame = await socket.json()
            assert frame["code"] == 1
            assert frame["error"].startswith("Topic unknown")
            assert gateway.session_id not in json.dumps(frame)

    run(main())


def test_subscribe_before_ready_is_ignored_without_a_reply() -> None:
    async def main() -> None:
        async with (
            SimulatedGateway(options(ready_delay_s=10.0)) as gateway,
            connected(gateway, is_ready=False) as socket,
        ):
            assert await socket.answers(f"smd+265598+{L1}") == []
            assert socket.peer.ignored == 1
            for _ in range(3):
                await socket.frame()
            # Ready now, and still nothing: the subscribe is gone, not late.
            await gateway.clock.sleep(3.0)
            assert await socket.answers() == []
            assert len(await socket.answers(f"smd+265598+{L1}")) >= 2

    run(main())


def test_gateway_can_stay_not_ready() -> None:
    async def main() -> None:
        async with (
            SimulatedGateway(options(ready_delay_s=None)) as gateway,
            connected(gateway, is_ready=False) as socket,
        ):
            await gateway.clock.sleep(15.0)
            assert await socket.answers() == []

    run(main())


def test_connecting_while_nobody_is_logged_in_is_closed_with_1000() -> None:
    async def main() -> None:
        async with (
            SimulatedGateway(options(is_logged_in=False)) as gateway,
            connected(gateway, is_ready=False) as socket,
        ):
            message = await socket.closed()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)
            await gateway.wait_for(lambda: socket.peer.close_code == 1000)

    run(main())


def test_no_extension_is_negotiated() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway, compress=15) as socket:
            assert socket.ws.compress == 0

    run(main())


# --- market data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
def test_first_snapshot_comes_twice_in_two_key_orders(loop: str) -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.send(f"smd+265598+{L1}")
            first, second = await socket.json(), await socket.json()
            assert next(iter(first)) == "6509"
            assert list(first)[2] == "topic"
            assert next(iter(second)) == "server_id"
            assert list(second)[-1] == "topic"
            assert first == second
            assert first["conid"] == 265598
            assert first["6119"] == first["server_id"]

    run(main(), loop=loop)


def test_deltas_hold_what_changed_and_topic_last() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
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

    run(main())


def test_deltas_lie_on_a_grid_of_500_ms() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.answers(f"smd+265598+{L1}", f"smd+8314+{L1}")
            times = [(await socket.until(lambda frame: "_updated" in frame))["_updated"] for _ in range(60)]
            assert len(set(times)) > 10
            assert {(time - times[0]) % 500 for time in times} == {0}
            assert times == sorted(times)

    run(main())


def test_prices_are_strings_and_83_is_a_number() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.send(f"smd+265598+{L1}")
            seen: dict[str, set[type]] = {}
            for frame in await socket.several("smd+265598", 60):
                for code, value in frame.items():
                    seen.setdefault(code, set()).add(type(value))
            assert seen["83"] == {float}
            assert seen["87_raw"] == {float}
            assert all(seen[code] == {str} for code in ("31", "84", "86", "85", "88", "87", "6509", "6119"))
            assert seen["conid"] == seen["_updated"] == {int}

    run(main())


def test_6508_comes_once_in_an_early_delta_and_6509_in_snapshots_only() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.send(f"smd+265598+{L1}")
            frames = await socket.several("smd+265598", 30)
            assert [number for number, frame in enumerate(frames) if "6508" in frame] == [2]
            assert [number for number, frame in enumerate(frames) if "6509" in frame] == [0, 1]

    run(main())


def test_inactive_conid_sends_na_and_a_dash_and_never_ticks() -> None:
    async def main() -> None:
        async with (
            SimulatedGateway(options(inactive_conids=frozenset({8595}))) as gateway,
            connected(gateway) as socket,
        ):
            frames = [json.loads(frame) for frame in await socket.answers(f"smd+8595+{L1}")]
            assert [(frame["55"], frame["31"], "84" in frame) for frame in frames] == [("-", "N/A", False)] * 2
            assert [list(frame).index("topic") for frame in frames] == [2, len(frames[1]) - 1]
            await gateway.clock.sleep(20.0)
            assert await socket.answers() == []

    run(main())


def test_with_conids_all_others_are_inactive() -> None:
    async def main() -> None:
        async with SimulatedGateway(options(conids=(265598,))) as gateway, connected(gateway) as socket:
            assert b'"N/A"' in (await socket.answers(f"smd+8314+{L1}"))[0]
            assert b'"N/A"' not in (await socket.answers(f"smd+265598+{L1}"))[0]

    run(main())


@pytest.mark.parametrize(
    ("target", "conid"),
    [("265598@NYSE", 265598), ("0;;;76792991/1,272093/-1", 0), ("28812380;;;265598/1,272093/-2", 28812380)],
)
def test_exchange_and_combination_targets_keep_their_topic(target: str, conid: int) -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            frames = [json.loads(frame) for frame in await socket.answers(f"smd+{target}+{L1}")]
            assert {(frame["topic"], frame["conidEx"], frame["conid"]) for frame in frames} == {
                (f"smd+{target}", target, conid)
            }
            await socket.topic(f"smd+{target}")
            await socket.answers(f"umd+{target}+{{}}")
            assert socket.peer.subscriptions == ()

    run(main())


def test_a_repeated_subscribe_adds_fields_and_keeps_the_server_id() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.answers('smd+265598+{"fields":["84"]}')
            frames = [json.loads(frame) for frame in await socket.answers('smd+265598+{"fields":["86"]}')]
            assert any({"84", "86"} <= set(frame) for frame in frames)
            assert {frame["server_id"] for frame in frames} == {"q0"}

    run(main())


def test_stream_ends_without_a_frame_after_15_minutes_unless_renewed() -> None:
    async def main() -> None:
        async with SimulatedGateway(options(speed=300.0)) as gateway, connected(gateway) as socket:
            start_s = gateway.clock.monotonic_s()
            await socket.send(f"smd+265598+{L1}")
            await socket.send(f"smd+8314+{L1}")
            await gateway.clock.sleep(600.0)
            await socket.send(f"smd+8314+{L1}")
            await gateway.wait_for(lambda: socket.peer.subscriptions == ("smd+8314",))
            lived_s = gateway.clock.monotonic_s() - start_s
            # The other one lives until 1,500 s at least: that much a busy machine may be late.
            assert 900.0 <= lived_s < 1_500.0
            frames = [json.loads(frame) for frame in await socket.answers()]
            assert not [frame for frame in frames if "topic" not in frame]
            await socket.topic("smd+8314")
            await socket.until(lambda frame: "hb" in frame)

    run(main())


def test_unsubscribe_is_not_acknowledged_and_ends_the_stream() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.answers(f"smd+265598+{L1}")
            await socket.answers("umd+265598+{}")
            await gateway.clock.sleep(20.0)
            assert await socket.answers() == []

    run(main())


def test_server_ids_count_up_across_sockets() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway:
            seen = []
            for conids in ((1, 2), (3,), (1,)):
                async with connected(gateway) as socket:
                    for conid in conids:
                        await socket.send(f"smd+{conid}+{L1}")
                        seen.append((await socket.topic(f"smd+{conid}"))["server_id"])
            assert seen == ["q0", "q1", "q2", "q3"]

    run(main())


def test_subscriptions_end_with_their_socket() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway:
            async with connected(gateway) as socket:
                await socket.answers(f"smd+265598+{L1}", "spl+{}")
            async with connected(gateway) as socket:
                await gateway.clock.sleep(20.0)
                assert await socket.answers() == []

    run(main())


def test_lines_over_the_limit_are_ignored_in_silence() -> None:
    async def main() -> None:
        async with SimulatedGateway(options(market_data_lines=2)) as gateway, connected(gateway) as socket:
            await socket.answers(*(f"smd+{conid}+{L1}" for conid in (1, 2, 3)))
            assert socket.peer.subscriptions == ("smd+1", "smd+2")
            await socket.answers("umd+1+{}", f"smd+3+{L1}")
            assert socket.peer.subscriptions == ("smd+2", "smd+3")

    run(main())


@pytest.mark.parametrize("text", ["smd+abc+{}", 'smd+1"2+{}', "smd+", "smd+265598@+{}", "umd+1+{}", "smh+x+{}"])
def test_invalid_texts_get_no_reply(text: str) -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            assert await socket.answers(text) == []
            assert socket.peer.ignored == 1

    run(main())


def test_same_seed_and_order_give_the_same_frames() -> None:
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

    async def main() -> None:
        one = await frames(3, (265598, 8314, 272093))
        assert one == await frames(3, (265598, 8314, 272093))
        assert one != await frames(4, (265598, 8314, 272093))

    run(main())


def test_a_rate_is_kept() -> None:
    async def main() -> None:
        gateway_options = options(speed=1.0, rate=20_000.0, keep_sent=0)
        async with SimulatedGateway(gateway_options) as gateway, connected(gateway) as socket:
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

    async def drain(ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await ws.receive()

    run(main())


# --- heartbeats and small talk ---------------------------------------------------------------------------------------


def test_heartbeat_comes_every_ten_seconds() -> None:
    async def main() -> None:
        async with SimulatedGateway(options(speed=50.0)) as gateway, connected(gateway) as socket:
            beats = [(await socket.until(lambda frame: "hb" in frame)) for _ in range(8)]
            assert all(list(beat) == ["topic", "hb"] and beat["topic"] == "system" for beat in beats)
            times = [beat["hb"] for beat in beats]
            # Not five and not twenty; a stall of the machine is 50 times as long here.
            assert 6_000 < (times[-1] - times[0]) / 7 < 14_000

    run(main())


def test_tic_gets_four_equal_replies() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            frames = await socket.answers("tic")
            assert len(frames) == 4
            assert len(set(frames)) == 1
            assert list(json.loads(frames[0])) == ["topic", "alive", "id", "lastAccessed"]
            assert json.loads(frames[0])["id"] == gateway.session_id

    run(main())


def test_echo_is_no_json() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.send("ech+hb")
            assert await socket.frame() == b"ech+hb"

    run(main())


def test_binary_from_the_client_counts_as_text() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            await socket.ws.send_bytes(b"tic")
            assert (await socket.json())["topic"] == "tic"
            assert [text.text for text in socket.peer.received] == ["tic"]

    run(main())


def test_unknown_topic_is_an_error_frame() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, connected(gateway) as socket:
            assert await socket.answers("xyz+{}") == [b'{"error":"Topic unknown xyz","code":1}']

    run(main())


def test_ping_gets_a_pong_and_close_is_echoed() -> None:
    async def main() -> None:
        async with SimulatedGateway(options()) as gateway, http() as session:
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

    run(main())
