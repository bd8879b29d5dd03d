"""Diagnoses of simulated gateways, and checks of the result, for the tests of the doctor."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from cpapi_fast.doctor import Diagnosis, Finding, Outcome, Problem, Step, diagnose
from cpapi_fast.rest.tls import Tls
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from cpapi_fast.simulator.market import Market
from tests.servers.http import SESSION
from tests.support.clocks import VariableSpeedClock

USER, ACCOUNT = "user1234", "DU1234567"
#: Instruments of seed 0 by their field 6509.
BY_AVAILABILITY = {
    letters: next(
        conid
        for conid in range(1, 2000)
        if (instrument := Market(seed=0, conids=None, inactive_conids=frozenset()).instrument(str(conid))) is not None
        and instrument.availability == letters
        and not instrument.is_thin
    )
    for letters in ("RpB", "DPB", "ZB")
}
LIVE, DELAYED = BY_AVAILABILITY["RpB"], BY_AVAILABILITY["DPB"]
#: Heartbeats so frequent that no test waits ten seconds for one.
QUICK: dict[str, Any] = {"heartbeat_interval_s": 0.1, "ready_delay_s": 0.0, "idle_timeout_s": None}


def finding_of(diagnosis: Diagnosis, step: Step) -> Finding:
    return diagnosis.findings[list(Step).index(step)]


def check(diagnosis: Diagnosis, problem: Problem, step: Step, found_pattern: str, advice_pattern: str) -> None:
    """Assert that this step failed with this problem, that the steps before it passed, and that none after it ran."""
    failure = diagnosis.failure
    assert failure is not None, diagnosis
    assert (failure.problem, failure.step) == (problem, step), diagnosis.summary
    assert re.search(found_pattern, failure.found), failure.found
    assert re.search(advice_pattern, diagnosis.advice, re.IGNORECASE), diagnosis.advice
    assert diagnosis.exit_code == int(problem)
    assert [finding.step for finding in diagnosis.findings] == list(Step)
    position = list(Step).index(step)
    assert all(finding.outcome is Outcome.NOT_REACHED for finding in diagnosis.findings[position + 1 :])
    assert all(finding.outcome in (Outcome.OK, Outcome.WARNING) for finding in diagnosis.findings[:position])
    check_one_line_without_secrets(diagnosis)


def check_one_line_without_secrets(diagnosis: Diagnosis, *secrets: str) -> None:
    shown = json.dumps(diagnosis.as_json())
    for secret in (USER, ACCOUNT, SESSION, "x-sess-uuid", "0.5e005301", *secrets):
        assert secret not in shown
    for finding in diagnosis.findings:
        assert "\n" not in finding.found + finding.advice


async def diagnose_fast(
    url: str,
    *,
    fast_step: Step | None = None,
    speed: float = 100.0,
    on_finding: Callable[[Finding], object] | None = None,
    **more: Any,
) -> Diagnosis:
    """Diagnose with a clock that runs fast during one step, so that a wait in vain is short and no other step is."""
    clock = VariableSpeedClock()

    def on_step_end(finding: Finding) -> None:
        following = list(Step)[list(Step).index(finding.step) + 1 :]
        clock.set_speed(speed if fast_step in following[:1] else 1.0)
        if on_finding is not None:
            on_finding(finding)

    return await diagnose(url, clock=clock, on_finding=on_step_end, **more)


async def diagnose_gateway(gateway: SimulatedGateway, **more: Any) -> Diagnosis:
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else None
    diagnosis = await diagnose_fast(gateway.url, **{"tls": tls, "conid": LIVE, **more})
    check_one_line_without_secrets(diagnosis, gateway.session_id)
    return diagnosis


async def diagnose_simulated(
    options: dict[str, Any], act: Callable[[SimulatedGateway], Awaitable[Diagnosis]] = diagnose_gateway, **more: Any
) -> Diagnosis:
    async with SimulatedGateway(SimulatorOptions(**{"tls": False, **QUICK, **options})) as gateway:
        return await act(gateway, **more)


async def diagnose_after(
    breaking: Callable[[SimulatedGateway], object], options: dict[str, Any] | None = None, **more: Any
) -> Diagnosis:
    """Diagnose a gateway after `breaking(gateway)`."""

    async def act(gateway: SimulatedGateway) -> Diagnosis:
        breaking(gateway)
        return await diagnose_gateway(gateway, **more)

    return await diagnose_simulated(options or {}, act)


async def after_step(step: Step, breaking: Callable[[SimulatedGateway], object], **options: Any) -> Diagnosis:
    """Diagnose a gateway, and call `breaking(gateway)` at the end of a step."""

    async def act(gateway: SimulatedGateway) -> Diagnosis:
        def on_finding(finding: Finding) -> None:
            if finding.step is step:
                breaking(gateway)

        return await diagnose_gateway(gateway, on_finding=on_finding, fast_step=Step.TICK, speed=10.0)

    return await diagnose_simulated(options, act)
