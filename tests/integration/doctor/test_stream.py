"""The doctor's steps over the WebSocket: readiness, session state, heartbeats, quotes and clocks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.doctor import Diagnosis, Finding, Outcome, Problem, Step, diagnose
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from cpapi_fast.simulator.wire import encode_frame
from tests.integration.doctor.harness import (
    LIVE,
    QUICK,
    after_step,
    check,
    diagnose_after,
    diagnose_fast,
    diagnose_gateway,
    diagnose_simulated,
    finding_of,
)
from tests.servers.http import SESSION, TICKLE, HttpServer, http_response
from tests.servers.raw import Peer as RawPeer
from tests.servers.raw import RawServer, answer_close
from tests.support.clocks import SkewedClock


@pytest.mark.parametrize(
    ("status", "problem", "advice"),
    [
        (401, Problem.WEBSOCKET, "log in"),
        (403, Problem.WEBSOCKET, "proxy .* Upgrade"),
        (404, Problem.WEBSOCKET, "proxy .* Upgrade"),
        (426, Problem.WEBSOCKET, "proxy .* Upgrade"),
        (503, Problem.WEBSOCKET, "wait"),
        (429, Problem.RATE_LIMITED, "15 minutes"),
    ],
)
async def test_an_upgrade_that_is_refused(status: int, problem: Problem, advice: str) -> None:
    diagnosis = await diagnose_after(lambda gateway: gateway.faults.fail_rest("/ws", status=status, times=None))
    check(diagnosis, problem, Step.WEBSOCKET, str(status), advice)


async def test_an_upgrade_without_a_response() -> None:
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/ws", delay_s=30.0), fast_step=Step.WEBSOCKET
    )
    check(diagnosis, Problem.WEBSOCKET, Step.WEBSOCKET, "no WebSocket within", "proxy .* Upgrade .* restart")


async def test_never_ready() -> None:
    diagnosis = await diagnose_simulated({"ready_delay_s": None}, fast_step=Step.READY)
    check(diagnosis, Problem.NOT_READY, Step.READY, "no `system` with `success` came within 15 s", "log in")


async def test_a_session_that_the_socket_does_not_accept() -> None:
    body = TICKLE.replace(SESSION.encode(), b"f" * 32)
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/tickle", status=200, body=body), fast_step=Step.READY, speed=10.0
    )
    check(diagnosis, Problem.NOT_READY, Step.READY, "waits for a session", "log in")


async def test_a_socket_that_is_closed_at_once() -> None:
    async def act(gateway: SimulatedGateway) -> Diagnosis:
        # Between the last call and the upgrade: the socket is then closed with 1000.
        def log_out(finding: Finding) -> None:
            if finding.step is Step.ACCOUNTS:
                gateway.faults.log_out()

        return await diagnose_gateway(gateway, on_finding=log_out)

    check(await diagnose_simulated({}, act), Problem.WEBSOCKET, Step.READY, "with code 1000", "log in")


async def test_a_lost_connection() -> None:
    diagnosis = await after_step(Step.READY, lambda gateway: gateway.faults.drop_sockets(), heartbeat_interval_s=1000.0)
    failure = diagnosis.failure
    assert failure is not None
    # Either step may detect it.
    check(diagnosis, Problem.WEBSOCKET, failure.step, "without a CLOSE frame", "log in")
    assert failure.step in (Step.STS, Step.HEARTBEAT)


@pytest.mark.parametrize("step", [Step.WEBSOCKET, Step.HEARTBEAT])
async def test_a_lost_connection_in_other_steps(step: Step) -> None:
    diagnosis = await after_step(
        step, lambda gateway: gateway.faults.drop_sockets(), market_data_lines=0, ready_delay_s=0.2
    )
    following = list(Step)[list(Step).index(step) + 1]
    check(diagnosis, Problem.WEBSOCKET, following, "without a CLOSE frame", "log in")


@pytest.mark.parametrize(
    ("fragment", "problem"),
    [
        (b'{"topic":"sts","args":{"authenticated":false}}', Problem.NOT_AUTHENTICATED),
        (b'{"topic":"sts","args":{"authenticated":false,"competing":true}}', Problem.COMPETING),
        (b'{"topic":"sts","args":{"authenticated":false,"connected":false}}', Problem.NOT_CONNECTED),
    ],
)
async def test_the_socket_disagrees_with_rest(fragment: bytes, problem: Problem, tmp_path: Path) -> None:
    async def serve(peer: RawPeer) -> None:
        await peer.send(encode_frame(b'{"topic":"system","success":"user1234"}') + encode_frame(fragment))
        await answer_close(peer)

    async with (
        RawServer(serve) as server,
        HttpServer(rest_of_a_gateway) as rest,
        OnePort(rest, server) as url,
    ):
        diagnosis = await diagnose(url, timeout_s=10.0)
    check(diagnosis, problem, Step.STS, "the socket reports", "--init|log in")


def rest_of_a_gateway(request: bytes) -> bytes:
    if b"/tickle" in request:
        return http_response(TICKLE)
    if b"/accounts" in request:
        return http_response(b'{"accounts":["DU1234567"]}')
    return http_response(b'{"authenticated":true,"connected":true,"competing":false}')


class OnePort:
    """One port in front of two servers: upgrades go to one, other requests to the other."""

    def __init__(self, rest: HttpServer, sockets: RawServer) -> None:
        self._rest_port = rest.port
        self._socket_port = int(sockets.url.split(":")[2].split("/")[0])
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/api"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            first = await reader.read(65536)
            port = self._socket_port if b"/ws " in first.split(b"\r\n")[0] else self._rest_port
            peer_reader, peer_writer = await asyncio.open_connection("127.0.0.1", port)
            peer_writer.write(first)
            await asyncio.gather(pump(reader, peer_writer), pump(peer_reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()
            if first:
                peer_writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
    except ConnectionError:
        writer.close()


async def test_a_socket_that_does_not_report_the_session_state() -> None:
    async def serve(peer: RawPeer) -> None:
        beat = b'{"topic":"system","hb":%d}' % (Clock().time_ns() // 1_000_000)
        quote = b'{"topic":"smd+265598","31":"1.00"}'
        await peer.send(encode_frame(b'{"topic":"system","success":"x"}') + encode_frame(beat) + encode_frame(quote))
        await answer_close(peer)

    async with (
        RawServer(serve) as server,
        HttpServer(rest_of_a_gateway) as rest,
        OnePort(rest, server) as url,
    ):
        diagnosis = await diagnose_fast(url, fast_step=Step.STS)
    assert diagnosis.is_healthy, diagnosis.summary
    assert {finding.step for finding in diagnosis.warnings} == {Step.STS, Step.TICK}
    assert "field 6509" in finding_of(diagnosis, Step.TICK).found


async def test_no_heartbeats() -> None:
    diagnosis = await diagnose_simulated({"heartbeat_interval_s": 1000.0}, fast_step=Step.HEARTBEAT)
    check(diagnosis, Problem.NO_HEARTBEAT, Step.HEARTBEAT, "no heartbeat within 15 s", "log in")


async def test_no_heartbeats_within_a_short_timeout() -> None:
    diagnosis = await diagnose_simulated({"heartbeat_interval_s": 1000.0}, timeout_s=2.0)
    assert diagnosis.is_healthy
    assert finding_of(diagnosis, Step.HEARTBEAT).outcome is Outcome.WARNING
    assert "--timeout 15" in finding_of(diagnosis, Step.HEARTBEAT).advice


async def test_an_unknown_conid() -> None:
    diagnosis = await diagnose_simulated({"conids": (8314,)})
    check(diagnosis, Problem.NO_DATA, Step.TICK, f"no instrument {LIVE}", "--conid")


async def test_no_market_data_line_left() -> None:
    diagnosis = await diagnose_simulated({"market_data_lines": 0}, fast_step=Step.TICK)
    check(diagnosis, Problem.NO_DATA, Step.TICK, "no frame of .* within 15 s, and no refusal", "market data lines")


@pytest.mark.parametrize(
    ("frame", "found", "advice"),
    [
        (b'{"6509":"N","topic":"smd+%d"}', "not subscribed", "subscribe to the data"),
        (b'{"6509":"N","31":"1.00","topic":"smd+%d"}', "not subscribed", "subscribe to the data"),
        (b'{"6509":"O","topic":"smd+%d"}', "acknowledgement", "acknowledgement"),
        (b'{"6509":"DPB","topic":"smd+%d"}', "have no price", "--conid"),
        (b'{"error":"not for DU1234567","code":500,"topic":"smd+%d"}', "refused the subscription: not for", "--conid"),
    ],
)
async def test_no_usable_quote(frame: bytes, found: str, advice: str) -> None:
    diagnosis = await after_step(Step.STS, lambda gateway: gateway.faults.send_frame(frame % LIVE), market_data_lines=0)
    check(diagnosis, Problem.NO_DATA, Step.TICK, found, advice)


async def test_a_halted_instrument() -> None:
    frame = b'{"6509":"RB","31":"H12.00","topic":"smd+%d"}' % LIVE
    diagnosis = await after_step(Step.STS, lambda gateway: gateway.faults.send_frame(frame), market_data_lines=0)
    assert diagnosis.is_healthy
    assert "halted" in finding_of(diagnosis, Step.TICK).found


@pytest.mark.parametrize(
    ("gateway_ahead_s", "found"), [(3600.0, r"3,(600|59.)\.. s behind"), (-3600.0, r"3,(600|59.)\.. s ahead of")]
)
async def test_a_clock_that_is_an_hour_wrong(gateway_ahead_s: float, found: str) -> None:
    async with SimulatedGateway(SimulatorOptions(tls=False, **QUICK), clock=SkewedClock(gateway_ahead_s)) as gateway:
        diagnosis = await diagnose_gateway(gateway)
    check(diagnosis, Problem.CLOCK, Step.CLOCK, found, "NTP")
    facts = finding_of(diagnosis, Step.CLOCK).facts
    assert abs(facts["heartbeat_lead_s"] + gateway_ahead_s) < 10
    # The Date header has the machine's own time; only the heartbeats have the wrong one.
    assert abs(facts["date_lead_s"]) < 10


async def test_a_clock_that_is_seconds_wrong() -> None:
    async with SimulatedGateway(SimulatorOptions(tls=False, **QUICK), clock=SkewedClock(10.0)) as gateway:
        diagnosis = await diagnose_gateway(gateway)
    assert diagnosis.is_healthy
    assert [finding.step for finding in diagnosis.warnings] == [Step.CLOCK]


async def test_slow_responses_are_a_warning() -> None:
    body = b'{"accounts":["DU1234567"]}'
    diagnosis = await diagnose_after(
        lambda gateway: gateway.faults.fail_rest("/iserver/accounts", status=200, body=body, delay_s=0.2),
        fast_step=Step.ACCOUNTS,
        speed=12.0,
    )
    assert finding_of(diagnosis, Step.PACE).outcome is Outcome.WARNING
    assert finding_of(diagnosis, Step.PACE).facts["slowest_response_s"] >= 2.0
