"""One simulated subscription: its stream at the gateway, its ticks, and which of them the feed received."""

from __future__ import annotations

from cpapi_fast.feed.machine import SubscriptionSpec

from .market import NEVER, Instrument


class SimulatedSubscription:
    """One subscription as the gateway, the network and the user have it.

    Ticks are counted when the number is needed. Only the ticks of a watched subscription are steps of the
    simulation.
    """

    def __init__(self, spec: SubscriptionSpec, instrument: Instrument | None, at_s: float) -> None:
        self.spec = spec
        self.instrument = instrument
        #: The gateway has a stream for it on the socket, with this id, until then.
        self.is_streaming = False
        self.stream_id = ""
        self.expires_s = NEVER
        #: The frames that the feed has received, and those that wait in a socket that is not read: whether each is a
        #: snapshot.
        self.frames = 0
        self.last_ns = 0
        self.last_s = 0.0
        self.late_ns = 0
        self.delivered_ns = 0
        #: When the newest data that the feed received was new.
        self.ticked_ns = 0
        #: The last tick at the market, and the last one whose data was received: `_updated` of a snapshot, and of the
        #: last frame.
        self.market_s = 0.0
        self.seen_s = 0.0
        #: The gateway sends the snapshot of a stopped stream. Hard: also after an unsubscribe.
        self.is_frozen = False
        self.is_frozen_hard = False
        #: The receive time of its last snapshot.
        self.frozen_ns = 0
        self.pending: list[bool] = []
        self.is_watched = False
        #: Ticks are counted up to here.
        self.cursor_s = at_s
        #: The number of the latest step that was planned for a tick; earlier ones are obsolete.
        self.token = 0
        #: Since the last delivered frame: a tick was not received, there was no stream, a gap was reported.
        self.has_lost_ticks = False
        self.had_no_stream = True
        self.is_gap_reported = False
        self.first_sent_ns = 0
        self.subscribed_ns = 0
        self.ended_s = at_s
        self.streaming_since_s = NEVER
        self.refusals_left = 0
        #: No subscribe was lost so far: ticks before the first frame do not count as missing.
        self.is_first_try = True
