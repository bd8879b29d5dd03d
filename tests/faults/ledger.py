"""Compares the frames and gaps that a feed delivered with the frames that the gateway wrote.

Each subscription is compared in order, frame by frame: every delivered frame must have been written, and every frame
written in between must be in a gap that was reported at that place. A change of the connection needs a gap too, whether
or not anything was written in between. The comparison uses no wall clock, so a step of the clock cannot hide a loss.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cpapi_fast.events import Cause, Gap
from cpapi_fast.simulator import SentFrame

#: The field that only snapshots have.
_SNAPSHOT: Final = b'"6509"'
#: The event time. A frame that repeats it may be a snapshot too, for a feed and for this ledger.
_UPDATED: Final = re.compile(rb'"_updated":([0-9]+)')


@dataclass
class Account:
    """The account of one subscription.

    Attributes:
        waiting: frames written and not yet delivered.
        connection: the connection of the last delivered frame.
        good_ns: when a gap may begin: the time of the last tick, and of the snapshots after it, whose stream may have
            stopped; empty before the first frame. The time of a frame is its receive time less its lateness.
        updated: the event time of the last frame.
        recent: the last frames, for reports of a problem.
        gap: the gap that was reported and is not yet followed by a frame.
        delivered: how many frames were delivered.
        lost: how many frames were written and not delivered, each inside a gap.
        abandoned: how many frames were written to a socket after the feed had moved to another.
        gaps: how many gaps there were, by cause.
        empty_gaps: in how many gaps no frame was lost.
    """

    waiting: deque[SentFrame] = field(default_factory=deque)
    connection: int = 0
    good_ns: list[int] = field(default_factory=list)
    updated: bytes | None = None
    recent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=4))
    gap: Gap | None = None
    delivered: int = 0
    lost: int = 0
    abandoned: int = 0
    gaps: dict[Cause, int] = field(default_factory=dict)
    empty_gaps: int = 0


class Ledger:
    """The comparison; `problems` describes every contradiction.

    Args:
        topics: the subscriptions to compare; others are ignored.
        foreign: payloads that may arrive although the gateway did not write them.
    """

    def __init__(self, topics: Iterable[str], foreign: Iterable[bytes] = ()) -> None:
        self.accounts = {topic: Account() for topic in topics}
        self.problems: list[str] = []
        self._foreign = frozenset(foreign)

    def sent(self, frames: Iterable[SentFrame]) -> None:
        """Add frames that the gateway wrote, in this order, before they can have been delivered."""
        for frame in frames:
            account = self.accounts.get(frame.topic)
            if account is not None:
                account.waiting.append(frame)

    def reported(self, gap: Gap) -> None:
        """Add a gap that the feed reported."""
        if gap.subscription is None:
            self.problems.append(f"a gap of no subscription: {gap}")
            return
        account = self.accounts.get(gap.subscription)
        if account is None:
            return
        if account.gap is not None and account.gap.first_good_ns is not None:
            self.problems.append(f"{gap.subscription}: a gap without a frame after it: {account.gap}")
        if not isinstance(gap.cause, Cause):
            self.problems.append(f"{gap.subscription}: a gap without a cause: {gap}")
        if account.good_ns and gap.last_good_ns not in account.good_ns:
            off_ms = (gap.last_good_ns - account.good_ns[-1]) / 1e6
            self.problems.append(
                f"{gap.subscription}: last_good_ns is {off_ms:+.3f} ms from the last frame: {gap}, after "
                f"{account.recent}"
            )
        if gap.first_good_ns is not None and gap.first_good_ns < gap.last_good_ns and not account.good_ns:
            self.problems.append(f"{gap.subscription}: it ends before it begins: {gap}")
        account.gaps[gap.cause] = account.gaps.get(gap.cause, 0) + 1
        account.gap = gap

    def delivered(self, topic: str, payload: bytes, received_ns: int, late_ns: int = 0) -> None:
        """Add a frame that the feed delivered."""
        account = self.accounts.get(topic)
        if account is None or payload in self._foreign:
            return
        gap, account.gap = account.gap, None
        if gap is not None and gap.first_good_ns != received_ns:
            self.problems.append(f"{topic}: first_good_ns is not when the next frame came ({received_ns}): {gap}")
        found = self._find(account, payload)
        if found is None:
            self.problems.append(f"{topic}: delivered and never written, or twice, or out of order: {payload[:120]!r}")
            return
        skipped = [account.waiting.popleft() for _ in range(found)]
        frame = account.waiting.popleft()
        lost = [one for one in skipped if one.connection >= account.connection]
        account.abandoned += len(skipped) - len(lost)
        if gap is None and lost:
            self.problems.append(
                f"{topic}: {len(lost)} frames lost without a gap, the first on connection {lost[0].connection}, "
                f"{(received_ns - lost[0].sent_ns) / 1e6:.3f} ms before the next good one on {frame.connection}"
            )
        elif gap is None and 0 < account.connection != frame.connection:
            self.problems.append(f"{topic}: it continues with connection {frame.connection} without a gap")
        account.lost += len(lost)
        account.empty_gaps += gap is not None and not lost
        account.connection = frame.connection
        updated = _UPDATED.search(payload)
        before, account.updated = account.updated, None if updated is None else updated[1]
        if _SNAPSHOT not in payload and (updated is None or account.updated != before):
            account.good_ns.clear()
        account.good_ns.append(received_ns - late_ns)
        account.recent.append((received_ns, payload[:200]))
        account.delivered += 1

    def finish(self) -> None:
        """Check the end: frames that were written and not delivered must be in a gap without an end."""
        for topic, account in self.accounts.items():
            lost = [frame for frame in account.waiting if frame.connection >= account.connection]
            account.abandoned += len(account.waiting) - len(lost)
            account.lost += len(lost)
            account.waiting.clear()
            if lost and account.gap is None:
                self.problems.append(f"{topic}: the last {len(lost)} frames are lost without a gap")
            if account.gap is not None and account.gap.first_good_ns is not None:
                self.problems.append(f"{topic}: a gap without a frame after it: {account.gap}")

    def settled(self) -> bool:
        """Whether everything written on the sockets in use was delivered."""
        return all(
            frame.connection < account.connection for account in self.accounts.values() for frame in account.waiting
        )

    @staticmethod
    def _find(account: Account, payload: bytes) -> int | None:
        # The gateway writes an order to every socket, also to one that the feed has left. The feed has the newest.
        found, connection = None, 0
        for index, frame in enumerate(account.waiting):
            if frame.payload == payload and frame.connection > connection:
                found, connection = index, frame.connection
        return found
