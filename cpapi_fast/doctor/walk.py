"""The walk: every step in its order, until one fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, CpapiError
from cpapi_fast.protocol.topics import market_data_target
from cpapi_fast.rest.tls import Tls
from cpapi_fast.rest.urls import BaseUrl

from . import login, network, stream
from .examination import Examination, Outcome, failure, outcome_of
from .findings import Diagnosis, Fault, Finding, Status, Step

#: Apple's share at its home exchange: known to every gateway, and traded as long as anything is.
DEFAULT_CONID: Final = 265598

#: Long enough for a heartbeat, which comes every ten seconds.
DEFAULT_TIMEOUT_S: Final = 15.0

_STEPS: Final[tuple[tuple[Step, Callable[[Examination], Awaitable[Outcome]]], ...]] = (
    (Step.DNS, network.dns),
    (Step.TCP, network.tcp),
    (Step.TLS, network.tls),
    (Step.REST, login.rest),
    (Step.SESSION, login.session),
    (Step.CONNECTED, login.connected),
    (Step.COMPETING, login.competing),
    (Step.AUTHENTICATED, login.authenticated),
    (Step.ACCOUNTS, login.accounts),
    (Step.WEBSOCKET, stream.websocket),
    (Step.READY, stream.ready),
    (Step.STS, stream.sts),
    (Step.HEARTBEAT, stream.heartbeat),
    (Step.TICK, stream.tick),
    (Step.CLOCK, stream.clock),
    (Step.PACE, stream.pace),
)


async def diagnose(
    url: str,
    *,
    tls: Tls | None = None,
    conid: int = DEFAULT_CONID,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    init: bool = False,
    clock: Clock = SYSTEM_CLOCK,
    on_finding: Callable[[Finding], object] | None = None,
) -> Diagnosis:
    """Walk from an address to a quote, and say where it ends.

    Four REST calls and one WebSocket with one subscription, all ended at the end. Nothing is changed at the gateway
    unless `init` is given; no session, cookie, user name or account is part of what is found.

    Args:
        url: the gateway's REST base, such as `https://localhost:5000/v1/api`.
        tls: which certificate to trust; `Tls.verify()` unless given.
        conid: the instrument to ask a quote of.
        timeout_s: the most that one step waits, in seconds of the clock.
        init: open the brokerage session where it is not open, away from another login of the same user if need be.
        clock: the clock of all timers, and the one that is compared with the gateway's.
        on_finding: told each finding as soon as it is there, those of steps that were not reached too.

    Raises:
        SubscriptionError: the conid cannot be one.
        ConfigError: the time limit is not above zero.
    """
    market_data_target(conid)
    if not 0.0 < timeout_s < float("inf"):
        raise ConfigError(f"timeout_s must be a finite number of seconds above zero, not {timeout_s!r}")
    findings: list[Finding] = []

    def add(step: Step, outcome: Outcome, started_s: float) -> None:
        finding = Finding(step, *outcome, elapsed_s=clock.monotonic_s() - started_s)
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)

    started_s = clock.monotonic_s()
    policy = Tls.verify() if tls is None else tls
    try:
        base = _base(url, policy)
    except ConfigError as error:
        add(Step.URL, failure(Fault.USAGE, str(error), "correct the URL or the option"), started_s)
        _skip_rest(findings, on_finding)
        return Diagnosis("", tuple(findings))
    path = f"base path {base.path}" if base.path else "no base path"
    said = f"{base.scheme}, {base.host}, port {base.port}, {path}"
    add(Step.URL, Outcome(Status.OK, said), started_s)
    examination = Examination(base, tls=policy, conid=conid, timeout_s=timeout_s, init=init, clock=clock)
    try:
        for step, take in _STEPS:
            started_s = clock.monotonic_s()
            try:
                outcome = await take(examination)
            except CpapiError as error:
                outcome = outcome_of(error, examination)
            add(step, outcome, started_s)
            if outcome.status is Status.FAILURE:
                break
    finally:
        with suppress(CpapiError):
            await examination.stack.aclose()
    _skip_rest(findings, on_finding)
    return Diagnosis(str(base), tuple(findings))


def _base(url: str, tls: Tls) -> BaseUrl:
    base = BaseUrl.parse(url)
    if base.scheme == "http" and tls.mode in ("pinned", "ca_file"):
        raise ConfigError("a certificate is given, but an http:// URL uses none; use https:// or leave the option out")
    return base


def _skip_rest(findings: list[Finding], on_finding: Callable[[Finding], object] | None) -> None:
    for step in list(Step)[len(findings) :]:
        finding = Finding(step, Status.NOT_REACHED, "")
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)
