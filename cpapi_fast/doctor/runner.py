"""Runs the steps in order, until one fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from cpapi_fast.callbacks import check_callback, refuse_awaitable
from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, CpapiError
from cpapi_fast.option_values import check_positive
from cpapi_fast.protocol.instruments import market_data_target
from cpapi_fast.rest.tls import Tls
from cpapi_fast.rest.urls import BaseUrl

from . import login, network, stream
from .context import DiagnosisContext, StepResult, failure, ok, result_of
from .diagnosis import Diagnosis, Finding, Outcome, Problem, Step

#: Apple on its home exchange, which every gateway has.
DEFAULT_CONID: Final = 265598

#: Longer than the 10 seconds between heartbeats.
DEFAULT_TIMEOUT_S: Final = 15.0

_STEPS: Final[tuple[tuple[Step, Callable[[DiagnosisContext], Awaitable[StepResult]]], ...]] = (
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
    conid: int | str = DEFAULT_CONID,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    init: bool = False,
    clock: Clock = SYSTEM_CLOCK,
    on_finding: Callable[[Finding], None] | None = None,
) -> Diagnosis:
    """Check every step from the URL to a quote, until one fails.

    Sends three REST requests and opens one WebSocket with one subscription; both are closed at the end. Changes nothing
    at the gateway unless `init` is True. The findings contain no session id, cookie, user name or account.

    Args:
        url: the gateway's REST base, such as `https://localhost:5000/v1/api`.
        tls: which certificate to trust; `Tls.verify()` by default.
        conid: the instrument whose quotes are requested; a text may name an exchange or a combination.
        timeout_s: how long one step waits at most, in seconds of the clock.
        init: open the brokerage session when it is not open, taking it from another login of the user if necessary.
        clock: the clock of all timers, which is also compared with the gateway's clock.
        on_finding: a plain function, called with each finding when its step ends, then with those of the steps that
            were not reached.

    Raises:
        SubscriptionError: the conid is invalid.
        ConfigError: the timeout is not above zero, or `on_finding` is not a plain function.
        CallbackError: `on_finding` returned a coroutine or another awaitable.
        BaseException: what `on_finding` raised.
    """
    if on_finding is not None:
        check_callback(on_finding, "on_finding")
    target = market_data_target(conid)
    check_positive("timeout_s", timeout_s, "seconds")
    findings: list[Finding] = []

    def add(step: Step, result: StepResult, started_s: float) -> None:
        finding = Finding(step, *result, elapsed_s=clock.monotonic_s() - started_s)
        findings.append(finding)
        _show(finding, on_finding)

    started_s = clock.monotonic_s()
    policy = Tls.verify() if tls is None else tls
    try:
        base = _base(url, policy)
    except ConfigError as error:
        add(Step.URL, failure(Problem.USAGE, str(error), "Correct the URL or the option."), started_s)
        _skip_rest(findings, on_finding)
        return Diagnosis("", tuple(findings))
    path = f"base path {base.path}" if base.path else "no base path"
    add(Step.URL, ok(f"{base.scheme}, {base.host}, port {base.port}, {path}"), started_s)
    context = DiagnosisContext(base, tls=policy, conid=target, timeout_s=timeout_s, init=init, clock=clock)
    try:
        for step, run_step in _STEPS:
            started_s = clock.monotonic_s()
            try:
                result = await run_step(context)
            except CpapiError as error:
                result = result_of(error, context)
            add(step, result, started_s)
            if result.outcome is Outcome.FAILURE:
                break
    finally:
        with suppress(CpapiError):
            await context.stack.aclose()
    _skip_rest(findings, on_finding)
    return Diagnosis(str(base), tuple(findings))


def _base(url: str, tls: Tls) -> BaseUrl:
    base = BaseUrl.parse(url)
    if base.scheme == "http" and tls.mode in ("pinned", "ca_file"):
        raise ConfigError("an http:// URL uses no certificate, but one is given. Use https://, or omit the option.")
    return base


def _skip_rest(findings: list[Finding], on_finding: Callable[[Finding], None] | None) -> None:
    for step in list(Step)[len(findings) :]:
        finding = Finding(step, Outcome.NOT_REACHED, "")
        findings.append(finding)
        _show(finding, on_finding)


def _show(finding: Finding, on_finding: Callable[[Finding], None] | None) -> None:
    if on_finding is not None and (returned := on_finding(finding)) is not None:
        refuse_awaitable(returned)
