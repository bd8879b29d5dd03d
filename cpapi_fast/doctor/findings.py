"""What an examination finds: steps, faults with their exit codes, and both as text and as JSON. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast._version import __version__


class Step(enum.Enum):
    """The steps from an address to a quote, in the order in which they are taken."""

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


class Fault(enum.IntEnum):
    """A class of failure; its number is the exit code of `cpapi-fast doctor`."""

    #: The URL or another option cannot be right.
    USAGE = 2
    #: The host name does not resolve.
    DNS = 10
    #: Nobody listens there, or a firewall is in between.
    TCP = 11
    #: No TLS, or a certificate that the chosen option does not trust.
    TLS = 12
    #: Something answers that is no Client Portal gateway, or the base path is wrong.
    NOT_A_GATEWAY = 20
    #: A human has to log in by browser.
    LOGIN_NEEDED = 21
    #: Another login of the same user holds the brokerage session.
    COMPETING = 22
    #: The gateway does not reach Interactive Brokers.
    NOT_CONNECTED = 23
    #: Too many requests: the penalty box.
    RATE_LIMITED = 24
    #: The gateway answers with errors of its own (5xx, or what it should not say).
    GATEWAY_ERROR = 25
    #: The gateway refuses this machine's address.
    FORBIDDEN = 26
    #: Logged in, but the brokerage session is not open.
    NOT_AUTHENTICATED = 27
    #: The gateway accepts connections and does not answer in time, or hangs up.
    NO_ANSWER = 28
    #: No WebSocket, or it was closed at once.
    WEBSOCKET = 30
    #: The socket is open, and the gateway never says that it listens.
    NOT_READY = 31
    #: No quote of the instrument.
    NO_DATA = 32
    #: No heartbeats: the socket is dead or dying.
    NO_HEARTBEAT = 33
    #: This machine's clock is far from the gateway's.
    CLOCK = 40


class Status(enum.Enum):
    """How a step went."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found.

    Attributes:
        step: which one.
        status: how it went.
        found: in one line of words, without session, cookie, user name or account.
        advice: the one thing to do about it; empty when there is nothing to do.
        fault: the class of failure; None unless `status` is FAILURE.
        facts: the same for programs: numbers, flags and texts.
        elapsed_s: how long the step took, in seconds of the clock.
    """

    step: Step
    status: Status
    found: str
    advice: str = ""
    fault: Fault | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    elapsed_s: float = 0.0


#: As wide as the longest name of a step, and of a status.
_STEP_WIDTH: Final = max(len(step.value) for step in Step)
_STATUS_WIDTH: Final = max(len(status.value) for status in Status)


def line(finding: Finding) -> str:
    """A finding as one line of a report."""
    # A failure is what the eye looks for.
    word = finding.status.value.upper() if finding.status is Status.FAILURE else finding.status.value
    return f"{finding.step.value:<{_STEP_WIDTH}}  {word:<{_STATUS_WIDTH}}  {finding.found}".rstrip()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All steps, and what follows from them.

    Attributes:
        url: the base URL in its normal form; empty when it cannot be one.
        findings: one per step, in order.
    """

    url: str
    findings: tuple[Finding, ...]

    @property
    def failure(self) -> Finding | None:
        """The step that failed, if one did: the last that was reached."""
        return next((finding for finding in self.findings if finding.status is Status.FAILURE), None)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The steps that went well enough and leave something to be desired."""
        return tuple(finding for finding in self.findings if finding.status is Status.WARNING)

    @property
    def is_healthy(self) -> bool:
        """Whether no step failed."""
        return self.failure is None

    @property
    def exit_code(self) -> int:
        """0, or the number of the fault."""
        failure = self.failure
        return 0 if failure is None or failure.fault is None else int(failure.fault)

    @property
    def wrong(self) -> str:
        """What is wrong, in one line."""
        failure, warnings = self.failure, self.warnings
        if failure is not None:
            return f"{failure.step.value}: {failure.found}"
        if warnings:
            return f"nothing stops you; {warnings[0].step.value}: {warnings[0].found}"
        return "nothing"

    @property
    def advice(self) -> str:
        """The one thing to do."""
        failure, warnings = self.failure, self.warnings
        if failure is not None:
            return failure.advice
        return next((warning.advice for warning in warnings if warning.advice), "nothing")

    def closing_text(self) -> str:
        """The end of a report: what was not reached, what is wrong, what to do."""
        skipped = [finding.step.value for finding in self.findings if finding.status is Status.NOT_REACHED]
        lines = [f"{'':<{_STEP_WIDTH}}  {Status.NOT_REACHED.value}: {', '.join(skipped)}"] if skipped else []
        return "\n".join([*lines, "", f"wrong  {self.wrong}", f"to do  {self.advice}"])

    def as_json(self) -> dict[str, Any]:
        """Everything as a JSON object; docs/reference/doctor.md tells its members."""
        failure = self.failure
        return {
            "version": __version__,
            "url": self.url,
            "healthy": self.is_healthy,
            "exit_code": self.exit_code,
            "fault": None if failure is None or failure.fault is None else failure.fault.name.lower(),
            "wrong": self.wrong,
            "to_do": self.advice,
            "steps": [
                {
                    "step": finding.step.value,
                    "status": finding.status.value,
                    "found": finding.found,
                    "to_do": finding.advice,
                    "fault": None if finding.fault is None else finding.fault.name.lower(),
                    "facts": dict(finding.facts),
                    "elapsed_s": round(finding.elapsed_s, 3),
                }
                for finding in self.findings
            ],
        }
