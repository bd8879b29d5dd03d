"""The counters of one REST client, and the log of its requests"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cpapi_fast.redaction import redact_accounts, repr_without_accounts

_LOGGER: Final = logging.getLogger("cpapi_fast")

#: The outcome of an attempt without a whole response, and how many different outcomes are counted.
_NO_RESPONSE: Final = "no_response"
_MOST_OUTCOMES: Final = 32


@repr_without_accounts
@dataclass(frozen=True)
class ClientStats:
    """The counters of one client at one time."""

    #: Responses that were received, with any status.
    responses: int
    #: Members of responses that had an unexpected type and that nobody needs, by path and name, such as
    #: `/tickle ssoExpires`. They were read as far as their value was clear, and otherwise as missing.
    odd_members: Mapping[str, int]
    #: Attempts of requests by the status of the response, as text: `200`, `401`. `no_response` counts those without a
    #: whole response, and `other` those with a rare status, once there are 32 different ones.
    by_status: Mapping[str, int] = field(default_factory=dict)


class Outcomes:
    """Counts the attempts of requests by their outcome, and logs each one at the level DEBUG.

    Attributes:
        by_status: the counts; see `ClientStats.by_status`.
    """

    def __init__(self) -> None:
        self.by_status: Final[Counter[str]] = Counter()

    def add(self, method: str, path: str, status: str | None, took_s: float, reason: str = _NO_RESPONSE) -> None:
        """Count one attempt.

        Args:
            method: the HTTP method.
            path: the path of the request.
            status: the status of the response; None if there was no whole response.
            took_s: how long it took, in real seconds.
            reason: why there was none, for the log.
        """
        outcome = _NO_RESPONSE if status is None else status
        # The status comes from the server, so their number is bounded.
        is_known = outcome in self.by_status or len(self.by_status) < _MOST_OUTCOMES
        self.by_status[outcome if is_known else "other"] += 1
        if _LOGGER.isEnabledFor(logging.DEBUG):
            text = reason if status is None else f"status {status}"
            _LOGGER.debug("%s %s: %s after %.3f s", method, redact_accounts(path), text, took_s)
