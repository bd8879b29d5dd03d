"""The texts of /readyz: whether a feed streams, and why not"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpapi_fast.events import FeedState
from cpapi_fast.printable import printable

if TYPE_CHECKING:
    from cpapi_fast.feed import Feed


def readiness(feed: Feed | None) -> tuple[bool, str]:
    """Whether a feed streams now, and a text for people: the state, its cause, and what to do.

    Args:
        feed: the feed; None while a run has none yet.
    """
    if feed is None:
        return False, "not ready: starting; the run has no connection yet\n"
    if feed.state is FeedState.STREAMING:
        return True, "ready: streaming\n"
    lines = [f"not ready: {feed.state.value}"]
    # The detail of a change is left out: it has texts of the gateway.
    change = feed.trouble or feed.last_change
    if change is not None:
        lines += [f"cause: {change.cause.value}", f"advice: {change.advice}"]
    next_try_s = feed.next_try_s
    if next_try_s is not None:
        lines.append(f"next try: in {next_try_s:.0f} s")
    return False, "".join(f"{printable(line)}\n" for line in lines)
