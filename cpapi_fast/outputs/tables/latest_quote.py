"""LatestQuote: the latest values of one subscription in a table, for the progress of a run"""

from __future__ import annotations

from dataclasses import dataclass

from cpapi_fast.redaction import repr_without_accounts


@repr_without_accounts
@dataclass
class LatestQuote:
    """The latest values of one subscription, merged over its frames.

    Attributes:
        name: the target of the subscription: `265598`, `265598@NYSE`.
        received_ns: the receive time of its last frame, in ns since the Unix epoch.
        last, bid, ask: the latest prices; None before the first.
        availability: field 6509; None before the first.
        rows: how many frames were passed to the writer.
        last_prefix: `C` if `last` is the prior close, `H` if trading is halted; otherwise None.
    """

    name: str
    received_ns: int = 0
    last: float | None = None
    bid: float | None = None
    ask: float | None = None
    availability: str | None = None
    rows: int = 0
    last_prefix: str | None = None
