"""The counters of one REST client"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
