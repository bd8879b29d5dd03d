"""The faults, by name: each begins, lasts and ends by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from cpapi_fast import FeedState
from tests.servers.fault_proxy import NewLinks

from .rig import BRISK, NATURAL, QUIET, STEADY, Rig

Act = Callable[[Rig, Random], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: the name in reports.
        place: where it happens; two faults of one place never happen at the same time.
        act: causes it, and ends it again.
    """

    name: str
    place: str
    act: Act


FAULTS: Final[dict[str, Fault]] = {}


def fault(place: str) -> Callable[[Act], Act]:
    def register(act: Act) -> Act:
        name = act.__name__
        FAULTS[name] = Fault(name, place, act)
        return act

    return register


#: A wrong response of a gateway: status, body, content type, headers.
Answer = tuple[int, bytes, str, dict[str, str]]

PAGE: Final = b"<!DOCTYPE html><html><body>Login</body></html>"
ANSWERS: Final[dict[str, Answer]] = {
    "401": (401, b"Access Denied", "text/plain", {}),
    "302": (302, b"", "text/html", {"Location": "/sso/Login?forwardTo=22&RL=1"}),
    "html": (200, PAGE, "text/html", {}),
    "not-json": (200, b"{", "application/json", {}),
    "500": (500, b'{"error":"Internal Server Error"}', "application/json", {}),
    "502": (502, b"<html>Bad SimulatedGateway</html>", "text/html", {}),
    "503": (503, b"", "text/plain", {}),
}
#: Every REST call of a feed.
CALLS: Final = ("/tickle", "/iserver/accounts", "/iserver/auth/ssodh/init", "/ws")
#: The codes that a server may send in a CLOSE frame; 0 for a frame without a code.
CLOSE_CODES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999)


async def fault_is_detected(rig: Rig) -> None:
    """Wait until the feed has detected the fault, even if it has recovered since."""
    await rig.wait_for(lambda: rig.departures > rig.departures_seen, "the fault is detected")


async def gaps_are_reported(rig: Rig, before: int) -> None:
    """Wait until each instrument that ticks has a gap after the first `before` gaps."""
    ticking = {f"smd+{conid}" for conid in rig.conids if conid != QUIET}
    await rig.wait_for(
        lambda: ticking <= {gap.subscription for gap in rig.events.gaps[before:]}, "a gap of every stream"
    )


def answer_with(rig: Rig, call: str, name: str, times: int) -> None:
    """Let the next calls of a path get this response."""
    status, body, content_type, headers = ANSWERS[name]
    rig.gateway.faults.fail_rest(
        call, status=status, body=body, content_type=content_type, headers=headers, times=times
    )


# --- the network ------------------------------------------------------------------------------------------------------


@fault("network")
async def reset(rig: Rig, random: Random) -> None:
    rig.proxy.reset()


@fault("network")
async def finish(rig: Rig, random: Random) -> None:
    rig.proxy.finish()


@fault("network")
async def half_open(rig: Rig, random: Random) -> None:
    rig.proxy.half_open()
    await fault_is_detected(rig)
    if random.random() < 0.5:
        # The gateway keeps writing to the old socket as well as to the new one.
        await rig.streams()
    await rig.wait(random.uniform(0.0, 20.0))
    rig.proxy.reset_half_open()


@fault("network")
async def half_open_and_silent(rig: Rig, random: Random) -> None:
    await rig.proxy.treat_new_links(NewLinks.SILENT)
    rig.proxy.half_open()
    await fault_is_detected(rig)
    await rig.wait(random.uniform(5.0, 40.0))
    await rig.proxy.treat_new_links(NewLinks.FORWARDED)
    rig.proxy.reset_half_open()


@fault("network")
async def connections_refused(rig: Rig, random: Random) -> None:
    await rig.proxy.treat_new_links(NewLinks.REFUSED)
    rig.proxy.reset()
    await rig.wait(random.uniform(5.0, 40.0))
    await rig.proxy.treat_new_links(NewLinks.FORWARDED)


@fault("network")
async def short_stall(rig: Rig, random: Random) -> None:
    rig.proxy.stall()
    await rig.wait(random.uniform(1.0, 10.0))
    rig.proxy.resume()


@fault("network")
async def long_stall(rig: Rig, random: Random) -> None:
    rig.proxy.stall()
    await fault_is_detected(rig)
    await rig.wait(random.uniform(1.0, 60.0))
    rig.proxy.resume()


@fault("network")
async def one_byte_reads(rig: Rig, random: Random) -> None:
    rig.proxy.write_bytewise()
    await rig.wait(random.uniform(5.0, 10.0))
    if random.random() < 0.5:
        rig.proxy.reset()
        await rig.wait(5.0)
    rig.proxy.write_bytewise(on=False)


@fault("network")
async def slow_link(rig: Rig, random: Random) -> None:
    rig.proxy.slow_down(random.uniform(2_000.0, 20_000.0))
    await rig.wait(random.uniform(10.0, 30.0))
    rig.proxy.slow_down(None)


@fault("network")
async def cut_anywhere(rig: Rig, random: Random) -> None:
    rig.proxy.cut_after(random.randrange(1, 5_000), with_reset=random.random() < 0.5)
    await rig.wait(30.0)
    rig.proxy.cut_after(None)


@fault("network")
async def garbage(rig: Rig, random: Random) -> None:
    # A first byte with reserved bits set: invalid at the start of a frame.
    rig.proxy.inject(bytes([0xF0 | random.randrange(16)]) + random.randbytes(random.randrange(1, 400)))
    await fault_is_detected(rig)


# --- the gateway's socket ---------------------------------------------------------------------------------------------


@fault("gateway")
async def gateway_drops(rig: Rig, random: Random) -> None:
    rig.gateway.faults.drop_sockets(reset=random.random() < 0.5)


@fault("gateway")
async def close_frame(rig: Rig, random: Random) -> None:
    rig.gateway.faults.close_sockets(random.choice(CLOSE_CODES), "going down")


@fault("gateway")
async def gateway_stalls(rig: Rig, random: Random) -> None:
    rig.gateway.faults.stall()
    await fault_is_detected(rig)
    await rig.wait(random.uniform(1.0, 30.0))
    rig.gateway.faults.resume()


@fault("gateway")
async def fragments(rig: Rig, random: Random) -> None:
    rig.gateway.faults.fragment_frames()
    await rig.wait(40.0)
    rig.gateway.faults.fragment_frames(on=False)


@fault("gateway")
async def invalid_utf8(rig: Rig, random: Random) -> None:
    for number in range(3):
        frames = {
            "sor": b'{"topic":"sor","args":[{"orderId":%d,"text":"\x99\xff"}]}' % random.getrandbits(60),
            f"smd+{STEADY}": b'{"conid":%d,"_updated":%d,"55":"\x99%d","topic":"smd+%d"}'
            % (STEADY, random.getrandbits(40), number, STEADY),
        }
        for connection in rig.gateway.open_connections:
            # On a socket without subscriptions it would belong to none.
            connection.send([frame for topic, frame in frames.items() if topic in connection.subscriptions])
        await rig.wait(1.0)


@fault("gateway")
async def burst(rig: Rig, random: Random) -> None:
    await rig.gateway.faults.send_burst(random.randrange(5_000, 20_000))


@fault("gateway")
async def strange_frames(rig: Rig, random: Random) -> None:
    for payload in (b"", b"{}", b"[]", b"null", b'{"topic":7}', b"not JSON", b'{"message":"waiting for session"}'):
        rig.gateway.faults.send_frame(payload)
    rig.gateway.faults.ping(b"are you there?")
    rig.gateway.faults.send_error("something went wrong", 500)
    rig.gateway.faults.send_notification("hello")


# --- the session ------------------------------------------------------------------------------------------------------


@fault("gateway")
async def session_expires(rig: Rig, random: Random) -> None:
    before = len(rig.events.gaps)
    if rig.gateway.faults.end_brokerage_session():
        await gaps_are_reported(rig, before)


@fault("gateway")
async def session_changes(rig: Rig, random: Random) -> None:
    rig.gateway.faults.change_session_id()
    await fault_is_detected(rig)


@fault("gateway")
async def competing_login(rig: Rig, random: Random) -> None:
    rig.gateway.faults.start_competing()
    await rig.state(FeedState.COMPETING)
    await rig.wait(random.uniform(0.0, 60.0))
    rig.gateway.faults.stop_competing()


@fault("gateway")
async def logged_out(rig: Rig, random: Random) -> None:
    logins_before = rig.logins_required
    rig.gateway.faults.log_out()
    await rig.state(FeedState.LOGIN_REQUIRED)
    assert rig.logins_required > logins_before
    await rig.wait(random.uniform(0.0, 60.0))
    rig.gateway.faults.log_in(has_brokerage=random.random() < 0.5)


@fault("gateway")
async def nightly_reset(rig: Rig, random: Random) -> None:
    await rig.gateway.faults.run_nightly_reset(
        outage_s=random.uniform(30.0, 120.0), status=random.choice([500, 502, 503]), has_brokerage=random.random() < 0.5
    )


# --- REST -------------------------------------------------------------------------------------------------------------


@fault("gateway")
async def wrong_answer(rig: Rig, random: Random) -> None:
    answer_with(rig, random.choice(CALLS), random.choice(list(ANSWERS)), random.randrange(1, 5))
    if random.random() < 0.5:
        rig.gateway.faults.end_brokerage_session()
    rig.gateway.faults.drop_sockets()
    await rig.wait(20.0)
    rig.gateway.faults.clear_rest_failures()


@fault("gateway")
async def slow_answers(rig: Rig, random: Random) -> None:
    for call in CALLS:
        rig.gateway.faults.fail_rest(call, status=503, delay_s=random.uniform(5.0, 60.0), times=1)
    rig.gateway.faults.drop_sockets()
    await rig.wait(20.0)
    rig.gateway.faults.clear_rest_failures()


# --- subscriptions ----------------------------------------------------------------------------------------------------


@fault("gateway")
async def stream_ends(rig: Rig, random: Random) -> None:
    topic = f"smd+{random.choice([BRISK, STEADY, NATURAL])}"
    before = len(rig.events.gaps)
    if rig.gateway.faults.end_stream(topic.removeprefix("smd+")):
        await rig.wait_for(
            lambda: any(gap.subscription == topic for gap in rig.events.gaps[before:]), f"a gap of {topic}"
        )


@fault("gateway")
async def all_streams_end(rig: Rig, random: Random) -> None:
    before = len(rig.events.gaps)
    killed = [rig.gateway.faults.end_stream(str(conid)) for conid in rig.conids]
    if all(killed):
        await gaps_are_reported(rig, before)


@fault("gateway")
async def subscribes_dropped(rig: Rig, random: Random) -> None:
    # A stopped stream of orders or P&L cannot be detected, since probes get no reply.
    rig.gateway.faults.drop_subscribes(random.randrange(1, 6), channels=["smd"])
    rig.gateway.faults.drop_sockets()


@fault("gateway")
async def orders_are_refused(rig: Rig, random: Random) -> None:
    rig.gateway.faults.refuse_order_subscribes(random.randrange(1, 4))
    rig.gateway.faults.drop_sockets()


# --- this side --------------------------------------------------------------------------------------------------------


@fault("loop")
async def loop_is_blocked(rig: Rig, random: Random) -> None:
    time.sleep(random.uniform(0.05, 1.0))  # noqa: ASYNC251  that is the fault
    await asyncio.sleep(0)
