"""Diagnoses of healthy gateways, and diagnoses that are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from cpapi_fast.doctor import Finding, Outcome, Step, diagnose
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.doctor.harness import (
    BY_AVAILABILITY,
    LIVE,
    diagnose_gateway,
    diagnose_simulated,
    finding_of,
)


@pytest.mark.each_loop
@pytest.mark.gateway(tls=True)
async def test_healthy_over_tls(gateway: SimulatedGateway) -> None:
    reported: list[Finding] = []
    diagnosis = await diagnose_gateway(gateway, on_finding=reported.append)
    assert diagnosis.is_healthy, diagnosis.summary
    assert diagnosis.warnings == ()
    assert (diagnosis.exit_code, diagnosis.summary, diagnosis.advice) == (0, "healthy", "none")
    assert [finding.step for finding in diagnosis.findings] == list(Step)
    assert tuple(reported) == diagnosis.findings
    assert diagnosis.url == gateway.url
    assert finding_of(diagnosis, Step.TLS).facts["sha256"] == gateway.fingerprint
    assert finding_of(diagnosis, Step.TICK).facts["availability"] == "RpB"
    assert finding_of(diagnosis, Step.ACCOUNTS).facts["accounts"] == 1
    # It closes what it opened and changes nothing.
    (connection,) = gateway.connections
    assert connection.close_code == 1000
    await gateway.wait_for(lambda: not gateway.open_connections)
    requested = [request.path.removeprefix("/v1/api") for request in gateway.requests]
    assert requested == ["/tickle", "/iserver/auth/status", "/iserver/accounts", "/ws"]
    texts = [received.text.partition("+{")[0] for received in connection.received]
    assert texts == [f"smd+{LIVE}", f"umd+{LIVE}"]


@pytest.mark.parametrize(("letters", "found"), [("DPB", "delayed"), ("ZB", "frozen")])
async def test_quotes_that_are_not_live_are_a_warning(letters: str, found: str) -> None:
    diagnosis = await diagnose_simulated({}, conid=BY_AVAILABILITY[letters])
    assert diagnosis.is_healthy
    (warning,) = diagnosis.warnings
    assert warning.step is Step.TICK
    assert found in warning.found
    assert letters in warning.found


@pytest.mark.parametrize("instrument", [f"{LIVE}@NYSE", f"28812380;;;{LIVE}/1,8314/-1"])
async def test_a_quote_of_one_exchange_or_of_a_combination(gateway: SimulatedGateway, instrument: str) -> None:
    diagnosis = await diagnose(gateway.url, conid=instrument)
    assert finding_of(diagnosis, Step.TICK).outcome in (Outcome.OK, Outcome.WARNING), diagnosis.summary
    assert instrument in finding_of(diagnosis, Step.TICK).found
    (connection,) = gateway.connections
    texts = [received.text.partition("+{")[0] for received in connection.received]
    assert texts == [f"smd+{instrument}", f"umd+{instrument}"]


@pytest.mark.gateway(heartbeat_interval_s=1000.0)
async def test_a_cancelled_diagnosis_closes_its_connections(gateway: SimulatedGateway) -> None:
    task = asyncio.create_task(diagnose(gateway.url, conid=LIVE))
    await gateway.wait_for(lambda: gateway.connections and gateway.connections[0].subscriptions)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gateway.wait_for(lambda: not gateway.open_connections)
