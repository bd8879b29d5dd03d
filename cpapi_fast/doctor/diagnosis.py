"""The results of a diagnosis: steps, findings, problems with their exit codes, as text and as JSON. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast._version import __version__
from cpapi_fast.printable import printable
from cpapi_fast.redaction import repr_without_accounts


class Step(enum.Enum):
    """The steps from a URL to a quote, in the order in which they run."""

    URL = "url"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    REST = "rest"
    SESSION = "session"
    CONNECTED = "connected"
    COMPETING = "competing"
    AUTHENTICATED = "authenticated"
    ACCOUNTS = "accounts"
    WEBSOCKET = "websocket"
    READY = "ready"
    STS = "sts"
    HEARTBEAT = "heartbeat"
    TICK = "tick"
    CLOCK = "clock"
    PACE = "pace"


class Problem(enum.IntEnum):
    """A class of failure. Its number is the exit code of `cpapi-fast doctor`."""

    #: The URL or another option is invalid.
    USAGE = 2
    #: The host name does not resolve.
    DNS = 10
    #: Nothing listens on the port, or a firewall blocks the connection.
    TCP = 11
    #: No TLS, or the TLS option does not trust the certificate.
    TLS = 12
    #: The server is not a Client Portal gateway, or the base path is wrong.
    NOT_A_GATEWAY = 20
    #: No user is logged in.
    LOGIN_NEEDED = 21
    #: Another login of the same user holds the brokerage session.
    COMPETING = 22
    #: The gateway has no connection to Interactive Brokers.
    NOT_CONNECTED = 23
    #: The gateway returns 429: too many requests.
    RATE_LIMITED = 24
    #: The gateway returns errors of its own: 5xx, or an unexpected response.
    GATEWAY_ERROR = 25
    #: The gateway refuses this machine's address.
    FORBIDDEN = 26
    #: A user is logged in, but the brokerage session is not open.
    NOT_AUTHENTICATED = 27
    #: The gateway accepts connections and sends no response in time, or closes them.
    NO_RESPONSE = 28
    #: No WebSocket, or it was closed.
    WEBSOCKET = 30
    #: The socket is open, but `system` with `success` never arrives.
    NOT_READY = 31
    #: No quote of the instrument.
    NO_DATA = 32
    #: No heartbeat on the socket.
    NO_HEARTBEAT = 33
    #: This machine's clock differs from the gateway's by 20 seconds or more.
    CLOCK = 40


class Outcome(enum.Enum):
    """How a step ended."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    NOT_REACHED = "not reached"


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found.

    Attributes:
        step: which step.
        outcome: how it ended.
        found: what was found, in one line; without session id, cookie, user name or account.
        advice: what to do, as an imperative sentence; empty when nothing has to be done.
        problem: the class of failure; None unless `outcome` is FAILURE.
        facts: the details for programs: numbers, flags and texts by name.
        elapsed_s: how long the step took, in seconds of the clock.
    """

    step: Step
    outcome: Outcome
    found: str
    advice: str = ""
    problem: Problem | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def __post_init__(self) -> None:
        # They contain texts of the gateway, of certificates and of options.
        object.__setattr__(self, "found", printable(self.found))
        object.__setattr__(self, "advice", printable(self.advice))


_STEP_WIDTH: Final = max(len(step.value) for step in Step)
_OUTCOME_WIDTH: Final = max(len(outcome.value) for outcome in Outcome)


def report_line(finding: Finding) -> str:
    """Return a finding as one line of a report."""
    # Capitals make the failure easy to find.
    outcome = finding.outcome.value.upper() if finding.outcome is Outcome.FAILURE else finding.outcome.value
    return f"{finding.step.value:<{_STEP_WIDTH}}  {outcome:<{_OUTCOME_WIDTH}}  {finding.found}".rstrip()


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of all steps, and the conclusion from them.

    Attributes:
        url: the normalized base URL; empty when the given one is invalid.
        findings: one per step, in order.
    """

    url: str
    findings: tuple[Finding, ...]

    @property
    def failure(self) -> Finding | None:
        """The step that failed, which is the last one that ran; None when no step failed."""
        return next((finding for finding in self.findings if finding.outcome is Outcome.FAILURE), None)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings with the outcome WARNING."""
        return tuple(finding for finding in self.findings if finding.outcome is Outcome.WARNING)

    @property
    def is_healthy(self) -> bool:
        """Whether no step failed."""
        return self.failure is None

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0, or the number of the problem."""
        failure = self.failure
        return 0 if failure is None or failure.problem is None else int(failure.problem)

    @property
    def summary(self) -> str:
        """The conclusion in one line: the failure, or `healthy` with the first warning."""
        failure, warnings = self.failure, self.warnings
        if failure is not None:
            return f"{failure.step.value}: {failure.found}"
        if warnings:
            return f"healthy, with a warning: {warnings[0].step.value}: {warnings[0].found}"
        return "healthy"

    @property
    def advice(self) -> str:
        """What to do about the failure, or about the first warning; `none` when nothing has to be done."""
        failure, warnings = self.failure, self.warnings
        if failure is not None:
            return failure.advice
        return next((warning.advice for warning in warnings if warning.advice), "none")

    def closing_text(self) -> str:
        """Return the last lines of a report: the steps that were not reached, the result and the advice."""
        skipped = [finding.step.value for finding in self.findings if finding.outcome is Outcome.NOT_REACHED]
        lines = [f"{'':<{_STEP_WIDTH}}  {Outcome.NOT_REACHED.value}: {', '.join(skipped)}"] if skipped else []
        return "\n".join([*lines, "", f"result  {self.summary}", f"advice  {self.advice}"])

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON object; docs/reference/doctor.md documents its members."""
        failure = self.failure
        return {
            "version": __version__,
            "url": self.url,
            "healthy": self.is_healthy,
            "exit_code": self.exit_code,
            "problem": None if failure is None or failure.problem is None else failure.problem.name.lower(),
            "summary": self.summary,
            "advice": self.advice,
            "steps": [
                {
                    "step": finding.step.value,
                    "outcome": finding.outcome.value,
                    "found": finding.found,
                    "advice": finding.advice,
                    "problem": None if finding.problem is None else finding.problem.name.lower(),
                    "facts": dict(finding.facts),
                    "elapsed_s": round(finding.elapsed_s, 3),
                }
                for finding in self.findings
            ],
        }
