"""The simulated socket: what the gateway sends on it, how it ends, and when this side does not read it.

The time of a tick is its time of arrival, so ticks that are under way when a socket is reset count as not received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpapi_fast.events import Cause, StandstillReason
from cpapi_fast.feed.machine import Failure

from .market import NEVER
from .subscription import SimulatedSubscription

if TYPE_CHECKING:
    from .world import World

HEARTBEAT_S = 10.0
EXPIRY_S = 600.0
#: From this length on, a pause of this process or of the network is reported as a standstill.
STANDSTILL_S = 1.0
SILENCE_S = 2.5


class SimulatedSocket:
    """One socket at a time, and the streams of all subscriptions on it.

    Args:
        world: the time, the subscriptions, and the machine that receives the frames.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_connectable = True
        self.rtt_s = 0.04
        #: When the gateway sends `system` after the socket is open; None for never.
        self.ready_delay_s: float | None = 0.1
        #: How many subscribes the gateway ignores.
        self.ignored_subscribes = 0
        self.is_open = False
        self.is_frozen = False
        self.is_held = False
        self._is_listening = False
        self._is_paused = False
        #: The number of the socket: what belongs to an earlier one is obsolete.
        self._number = 0
        self._streams = 0
        #: When the last frame of any kind was received; heartbeats count from `heartbeats_until_now` on.
        self.last_frame_s = 0.0
        self._heartbeat_s = NEVER
        self._pending_end: Cause | None = None

    # --- open and close ---------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the socket after a while."""
        self._world.after(1.5 * self.rtt_s, self._open)

    def _open(self) -> None:
        world, sessions = self._world, self._world.sessions
        failure = sessions.refusal()
        if failure is None and not (self.is_connectable and sessions.is_logged_in):
            failure = Failure.UNREACHABLE
        if failure is not None:
            world.put(world.machine.on_socket_failed, failure, world.now())
            return
        self._number += 1
        self.is_open, self.is_frozen, self.is_held, self._is_listening = True, False, False, False
        self._is_paused = False
        self._heartbeat_s = world.now_s + HEARTBEAT_S
        self._note_frame(world.now_s)
        world.put(world.machine.on_socket_opened, world.now())
        if self.ready_delay_s is not None:
            world.after(self.ready_delay_s, self._listen, self._number)
        world.after(0.05 if sessions.habits.status_first else 0.2, self._send_first_status, self._number)

    def _listen(self, number: int) -> None:
        if number == self._number and self.is_open and not self.is_frozen:
            self._is_listening = True
            self._note_frame(self._world.now_s)
            self._world.put(self._world.machine.on_ready, self._world.now())

    def _send_first_status(self, number: int) -> None:
        sessions = self._world.sessions
        if number == self._number:
            self.send_status(sessions.is_authenticated, True, sessions.is_competing)

    def send_status(self, authenticated: bool | None, connected: bool | None, competing: bool | None) -> None:
        """Send an `sts` to the feed, complete or in part."""
        world = self._world
        if self.is_open and not self.is_frozen and not self.is_held:
            self._note_frame(world.now_s)
            world.put(world.machine.on_status, authenticated, connected, competing, world.now())

    def end(self, cause: Cause = Cause.CONNECTION_LOST) -> None:
        """End the socket, so that both sides notice."""
        if self.is_held:
            # The socket is not read, so the end is not noticed yet.
            self._pending_end = cause
        elif self.is_open:
            self._forget()
            self._world.put(self._world.machine.on_socket_ended, cause, self._world.now())

    def freeze(self) -> None:
        """Let nothing through, so that neither side notices."""
        if self.is_open and not self.is_frozen:
            self.heartbeats_until_now()
            self.end_all_streams()
            self.is_frozen = True
            self._heartbeat_s = NEVER

    def close(self) -> None:
        """Close the socket from this side."""
        if not self.is_open:
            return
        if not self.is_frozen and not self.is_held and self._world.random.random() < 0.5:
            # Frames that are under way come before the peer's CLOSE, and are delivered.
            self._world.after(self.rtt_s * 0.4, self._drain, self._number)
        else:
            self._forget()

    def _drain(self, number: int) -> None:
        if number == self._number:
            self._forget()

    def _forget(self) -> None:
        self.end_all_streams()
        self.heartbeats_until_now()
        self.is_open = self._is_listening = self.is_held = self._is_paused = False
        self._heartbeat_s, self._pending_end = NEVER, None

    def heartbeats_until_now(self) -> float:
        """Count the heartbeats until now. Returns when the last frame of any kind was received."""
        now_s = self._world.now_s
        if now_s >= self._heartbeat_s and not self.is_held and not self.is_frozen and self._heartbeat_s != NEVER:
            beats = (now_s - self._heartbeat_s) // HEARTBEAT_S
            self._note_frame(self._heartbeat_s + beats * HEARTBEAT_S)
            self._heartbeat_s += (beats + 1) * HEARTBEAT_S
        return self.last_frame_s

    def _note_frame(self, at_s: float) -> None:
        if at_s > self.last_frame_s:
            self.last_frame_s = at_s

    # --- texts from the feed ----------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Send a text to the gateway."""
        world = self._world
        if text[0] == "s":
            subscription = world.subscriptions.get(text.partition("+{")[0])
            if subscription is not None and not subscription.first_sent_ns:
                subscription.first_sent_ns = world.now().ns
                self.settle(subscription)
                subscription.has_lost_ticks = False
        if not self.is_open or self.is_frozen:
            return
        if text == "tic":
            if self._is_listening and not self.is_held:
                # Its reply.
                self._note_frame(world.now_s)
        else:
            world.after(self.rtt_s, self._receive, text, self._number)

    def _receive(self, text: str, number: int) -> None:
        """The gateway has read a text, and its reply has arrived."""
        world = self._world
        if number != self._number or not self.is_open or self.is_frozen:
            subscription = world.subscriptions.get(text.partition("+{")[0])
            if subscription is not None:
                subscription.is_first_try = False
            return
        verb, _, rest = text.partition("+")
        if verb == "sor":
            subscription = world.subscriptions.get("sor")
            if subscription is not None and subscription.refusals_left:
                subscription.refusals_left -= 1
                world.put(world.machine.on_refused, "sor", world.now(), topics=["sor"])
            return
        topic = f"smd+{rest.partition('+')[0]}" if verb in ("smd", "umd") else "spl"
        subscription = world.subscriptions.get(topic)
        if subscription is None:
            return
        if verb in ("umd", "upl"):
            if not (subscription.is_frozen and subscription.is_frozen_hard):
                self.end_stream(subscription, is_on_request=True)
        elif verb in ("smd", "spl"):
            is_closed = subscription.spec.needs_brokerage and not world.sessions.is_authenticated
            if not self._is_listening or is_closed or self.ignored_subscribes:
                self.ignored_subscribes = max(self.ignored_subscribes - 1, 0)
                subscription.is_first_try = False
            else:
                self._start_stream(subscription)

    # --- streams ----------------------------------------------------------------------------------

    def _start_stream(self, subscription: SimulatedSubscription) -> None:
        """A subscribe has reached the market."""
        habits, now_s = self._world.sessions.habits, self._world.now_s
        self.settle(subscription)
        if subscription.is_first_try:
            subscription.is_first_try = subscription.has_lost_ticks = False
        if subscription.is_frozen and (subscription.is_frozen_hard or habits.renewals == "same"):
            subscription.expires_s = now_s + EXPIRY_S
            for _ in range(2):
                self._deliver_frozen(subscription)
            return
        is_new = not subscription.is_streaming
        subscription.expires_s = now_s + EXPIRY_S if subscription.spec.is_market_data else NEVER
        if is_new or habits.renewals == "new":
            subscription.is_frozen = False
            self._streams += 1
            subscription.stream_id = f"q{self._streams}"
        if is_new:
            subscription.is_streaming = True
            subscription.streaming_since_s = now_s
        if subscription.spec.is_market_data and (is_new or habits.renewals != "unanswered"):
            for _ in range(2):
                self._deliver(subscription, is_reply=True)
        self.plan_tick(subscription)

    def freeze_stream(self, subscription: SimulatedSubscription, *, is_hard: bool) -> None:
        """Send no more ticks of a stream, and reply to subscribes with its old snapshot; hard: also after `umd`."""
        self.settle(subscription)
        subscription.is_frozen, subscription.is_frozen_hard = True, is_hard
        subscription.had_no_stream = True

    def thaw_stream(self, subscription: SimulatedSubscription) -> None:
        """Send the ticks of a frozen stream again."""
        self.settle(subscription)
        subscription.is_frozen = False
        self.plan_tick(subscription)

    def end_stream(self, subscription: SimulatedSubscription, *, is_on_request: bool = False) -> None:
        """End a stream without a notice; on request, what was sent before still arrives."""
        self.settle(subscription)
        subscription.is_frozen = False
        if subscription.is_streaming:
            subscription.is_streaming = False
            subscription.ended_s = self._world.now_s
        subscription.had_no_stream = True
        if subscription.pending and not is_on_request:
            # The socket of this side has received these frames, and they are never read.
            subscription.has_lost_ticks = True
            subscription.pending.clear()
        self.plan_tick(subscription)

    def end_all_streams(self) -> None:
        """End every stream without a notice."""
        for subscription in self._world.subscriptions.values():
            self.end_stream(subscription)

    def settle(self, subscription: SimulatedSubscription) -> None:
        """Count the ticks until now."""
        instrument, to_s = subscription.instrument, self._world.now_s
        if instrument is None or to_s <= subscription.cursor_s:
            return
        if subscription.is_streaming and subscription.expires_s < to_s:
            self._count_ticks(subscription, subscription.expires_s)
            subscription.is_streaming, subscription.had_no_stream = False, True
            subscription.ended_s = subscription.expires_s
            self._world.observer.on_expired(self._world, subscription)
        self._count_ticks(subscription, to_s)

    def _count_ticks(self, subscription: SimulatedSubscription, to_s: float) -> None:
        assert subscription.instrument is not None
        count, last_s = subscription.instrument.ticks(subscription.cursor_s, to_s)
        subscription.cursor_s = to_s
        if not count:
            return
        subscription.market_s = last_s
        if not subscription.is_streaming or not self.is_open or subscription.is_frozen:
            subscription.has_lost_ticks = True
        elif self.is_held:
            subscription.pending += [False] * count
        else:
            subscription.frames += count
            subscription.last_s, subscription.last_ns, subscription.late_ns = last_s, self._world.ns(last_s), 0
            subscription.seen_s = last_s
            self._note_frame(last_s)
            subscription.ticked_ns = subscription.last_ns
            self._world.observer.on_delivered(self._world, subscription)

    def plan_tick(self, subscription: SimulatedSubscription) -> None:
        """Plan a step for the next tick of a watched subscription."""
        subscription.token += 1
        instrument = subscription.instrument
        if subscription.is_watched and subscription.is_streaming and instrument is not None and not self.is_held:
            at_s = instrument.next_s(subscription.cursor_s)
            if at_s != NEVER:
                self._world.at(at_s, self._tick, subscription, subscription.token)

    def _tick(self, subscription: SimulatedSubscription, token: int) -> None:
        if token != subscription.token or not subscription.is_watched:
            return
        if subscription.expires_s < self._world.now_s:
            self.settle(subscription)
            return
        assert subscription.instrument is not None
        count, last_s = subscription.instrument.ticks(subscription.cursor_s, self._world.now_s)
        subscription.cursor_s = self._world.now_s
        if count:
            subscription.market_s = last_s
        if count and subscription.is_frozen:
            subscription.has_lost_ticks = True
        else:
            for _ in range(count):
                self._deliver(subscription, is_reply=False)
        self.plan_tick(subscription)

    def _deliver(self, subscription: SimulatedSubscription, *, is_reply: bool, late_s: float = 0.0) -> None:
        """A frame of a subscription has arrived: a tick, or a part of a snapshot."""
        if self.is_held:
            subscription.pending.append(is_reply)
            return
        habits = self._world.sessions.habits
        is_snapshot = habits.snapshots_marked if is_reply else habits.ticks_marked
        is_newer = not is_reply or subscription.market_s > subscription.seen_s
        subscription.seen_s = subscription.market_s
        self._put_frame(subscription, is_snapshot=is_snapshot or not is_newer, is_newer=is_newer, late_s=late_s)
        if is_newer:
            subscription.ticked_ns = subscription.last_ns - subscription.late_ns
        self._world.observer.on_delivered(self._world, subscription)

    def _deliver_frozen(self, subscription: SimulatedSubscription) -> None:
        """A snapshot of a frozen stream has arrived, which is no data."""
        if not self.is_held:
            self._put_frame(subscription, is_snapshot=True, is_newer=False, late_s=0.0)
            subscription.frozen_ns = subscription.last_ns

    def _put_frame(
        self, subscription: SimulatedSubscription, *, is_snapshot: bool, is_newer: bool, late_s: float
    ) -> None:
        world = self._world
        now, topic = world.now(), subscription.spec.topic
        subscription.frames += 1
        subscription.last_s, subscription.last_ns = now.s, now.ns
        subscription.late_ns = int(late_s * 1e9)
        self._note_frame(now.s)
        if subscription.is_watched:
            world.put(
                world.machine.on_subscription_frame,
                topic,
                now.ns,
                now,
                topics=(topic,),
                late_ns=subscription.late_ns,
                is_snapshot=is_snapshot,
                stream_id=subscription.stream_id or None,
                is_newer=is_newer if subscription.spec.is_market_data else None,
            )

    # --- reading ----------------------------------------------------------------------------------

    def hold(self) -> None:
        """Do not read the socket: a consumer is full, or the loop is blocked."""
        if self.is_open and not self.is_held:
            self.heartbeats_until_now()
            for subscription in self._world.subscriptions.values():
                self.settle(subscription)
            self.is_held = True

    def release(self) -> None:
        """Read everything that was received in the meantime."""
        if not self.is_held or self._is_paused:
            return
        for subscription in self._world.subscriptions.values():
            self.settle(subscription)
        self.is_held = False
        if self.is_open and not self.is_frozen:
            self._note_frame(self._world.now_s)
        now_s = self._world.now_s
        for subscription in list(self._world.subscriptions.values()):
            pending, subscription.pending = subscription.pending, []
            late_s = now_s - subscription.market_s if subscription.market_s > subscription.seen_s else 0.0
            for is_reply in pending if subscription.is_watched else pending[-1:]:
                is_late = late_s > STANDSTILL_S and not is_reply
                self._deliver(subscription, is_reply=is_reply, late_s=late_s if is_late else 0.0)
            if not subscription.is_watched and len(pending) > 1:
                subscription.frames += len(pending) - 1
            self.plan_tick(subscription)
        cause, self._pending_end = self._pending_end, None
        if cause is not None:
            self.end(cause)

    def pause(self) -> None:
        """Stop reading because a consumer with the policy `block` is full."""
        if self.is_open:
            self.hold()
            self._is_paused = True
            self._world.put(self._world.machine.on_paused, True, self._world.now())

    def resume(self) -> None:
        """Read again because the consumer has room."""
        if self._is_paused:
            self._is_paused = False
            self._world.put(self._world.machine.on_paused, False, self._world.now())
            self.release()

    def block(self, duration_s: float) -> None:
        """Block the loop for a while; then the timers run first, or the socket is read first."""
        self.hold()
        self._world.now_s += duration_s
        if duration_s > STANDSTILL_S:
            self._stand_still(duration_s, StandstillReason.PROCESS)
        if self._world.sessions.habits.reads_first:
            self.release()
        self._world.tick()
        self.release()

    def stall(self) -> None:
        """Deliver nothing for a while, and lose nothing. This side does not know."""
        self.hold()

    def unstall(self, duration_s: float) -> None:
        """Deliver what the network has held for so long."""
        if self.is_held:
            if duration_s >= SILENCE_S and any(one.pending for one in self._world.subscriptions.values()):
                self._stand_still(duration_s, StandstillReason.NETWORK)
            self.release()

    def _stand_still(self, duration_s: float, reason: StandstillReason) -> None:
        world = self._world
        world.put(world.machine.on_standstill, int(duration_s * 1e9), reason, world.now())
