"""The counters of one REST client"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cpapi_fast.redaction import repr_without_accounts


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
