"""Every input of a feed's policy and every timer of it, each with the actions that it calls for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.topics import TIC_TEXT

from .actions import Action, Activity, CallKind, CloseSocket, Failure, Moment, OpenSocket, SessionFacts
from .session_lifecycle import Phase, SessionLifecycle
from .subscription_state import SubscriptionSpec

_NEVER: Final = float("inf")
#: A tick that comes so much late tells that nobody was looking, ...
_LATE_S: Final = 1.0
#: ... and what waits in the socket gets this long to be read before silence is judged; but not again and again.
_GRACE_S: Final = 1.0
_MOST_GRACES: Final = 3
#: Data that is all dead under a living socket: so long until the socket is given up, doubled from time to time.
_DEAD_DATA_S: Final = 10.0
_DEAD_DATA_MAX_S: Final = 900.0


class Machine(SessionLifecycle):
    """One feed's policy. Every input returns the actions it calls for, in order; nothing else happens.

    After each input `due_s` says when `tick` wants to be called.

    Args:
        options: the policies.
        meter: what was heard of a topic on all connections together; asked, never told.
        heard_s: when the last frame of any kind came, in seconds of the clock; 0 before the first.
        seed: of the jitter.
    """

    def __init__(
        self,
        options: FeedOptions,
        *,
        meter: Callable[[str], Activity],
        heard_s: Callable[[], float],
        seed: int = 0,
    ) -> None:
        super().__init__(options, meter=meter, seed=seed)
        #: When to call `tick` next, in seconds of the clock; infinity for not before the next input.
        self.due_s = _NEVER
        self._heard_s = heard_s
        self._own_due_s = _NEVER
        self._graces = 0
        self._blind_until_s = 0.0

    def _done(self) -> list[Action]:
        self._own_due_s = min(
            self._retry_s,
            self._ready_s,
            self._sts_s,
            self._tic_s,
            self._tickle_s,
            self._socket_s,
            self._dead_s,
        )
        self.due_s = min(self._own_due_s, self.care.due_s)
        actions, self._actions = self._actions, []
        self._detail = ""
        return actions

    # --- from the user ----------------------------------------------------------------------------

    def start(self, now: Moment) -> list[Action]:
        """Begin."""
        if self._phase is Phase.IDLE:
            self._phase = Phase.AWAY
            self._enter(FeedState.CONNECTING, Cause.STARTED, now)
            self._ask(CallKind.TICKLE, now)
        return self._done()

    def stop(self, now: Moment) -> list[Action]:
        """End. Holes that are open are told without an end."""
        if self._phase is not Phase.IDLE:
            if self.has_socket or self._phase is Phase.OPENING:
                self._actions_append(CloseSocket())
            self.care.end()
            self.care.lose(Cause.STOPPED)
            self._forget_socket()
            self._phase = Phase.IDLE
            self._step = self._keepalive = None
            self._retry_s = _NEVER
            self._enter(FeedState.DISCONNECTED, Cause.STOPPED, now)
        return self._done()

    def subscribe(self, spec: SubscriptionSpec, now: Moment) -> list[Action]:
        """Subscribe now, or as soon as it can be; again after every loss.

        Raises:
            LimitError: the account has no market data line left.
        """
        self.care.add(spec, now)
        self.care.send_due(now)
        return self._done()

    def unsubscribe(self, topic: str, now: Moment) -> list[Action]:
        """End a subscription."""
        self.care.remove(topic, now)
        return self._done()

    def on_paused(self, is_paused: bool, now: Moment) -> list[Action]:
        """Reading the socket was stopped, or goes on: as long as it is stopped, silence means nothing."""
        if self._is_paused and not is_paused:
            self._opened_s = now.s
            self.care.start_anew(now.s)
        self._is_paused = self.care.is_paused = is_paused
        return self._done()

    # --- from REST --------------------------------------------------------------------------------

    def on_facts(self, number: int, facts: SessionFacts, now: Moment) -> list[Action]:
        """`/tickle` or ssodh/init was answered."""
        if self._keepalive is not None and number == self._keepalive.number:
            self._keepalive = None
            self._on_keepalive(facts, now)
        elif self._step is not None and number == self._step.number and self._step.kind is not CallKind.ACCOUNTS:
            step, self._step = self._step, None
            self._on_step(step, facts, now)
        return self._done()

    def on_accounts(self, number: int, now: Moment) -> list[Action]:
        """`/iserver/accounts` was answered."""
        if self._step is not None and number == self._step.number and self._step.kind is CallKind.ACCOUNTS:
            self._step = None
            self._has_accounts = True
            if self._phase is Phase.AWAY:
                self._phase = Phase.OPENING
                if self.state is FeedState.DISCONNECTED:
                    # Not before: a gateway that answers /tickle and nothing else would have this told with every try.
                    self._enter(FeedState.CONNECTING, Cause.RETRY, now)
                self._actions_append(OpenSocket())
            elif self._phase is Phase.READY and self.session.authenticated is not False:
                self._go_live(now)
        return self._done()

    def on_call_failed(
        self, number: int, failure: Failure, now: Moment, *, retry_after_s: float | None = None, detail: str = ""
    ) -> list[Action]:
        """A call failed; `retry_after_s` where the answer, or our own pace, says how long to wait."""
        self._detail = detail
        if failure is Failure.RATE_LIMITED:
            self._retry_policy.note_limit(now, retry_after_s)
        if self._keepalive is not None and number == self._keepalive.number:
            self._keepalive = None
            self._on_keepalive_failed(failure, now)
        elif self._step is not None and number == self._step.number:
            step, self._step = self._step, None
            self._on_step_failed(step, failure, now, retry_after_s)
        return self._done()

    # --- from the socket --------------------------------------------------------------------------

    def on_socket_opened(self, now: Moment) -> list[Action]:
        """The socket is open."""
        if self._phase is not Phase.OPENING:
            self._actions_append(CloseSocket())
            return self._done()
        options = self.options
        self._phase = Phase.OPEN
        self.connections += 1
        self._opened_s = now.s
        self._has_sts = self._is_ready_said = False
        self._socket_generation = self.session.generation
        self._ready_s = now.s + options.ready_timeout_s
        self._tic_s = now.s + options.keepalive_interval_s
        self._tickle_s = now.s + options.keepalive_interval_s
        self._socket_s = now.s + options.socket_timeout_s
        self._enter(FeedState.OPEN, Cause.SOCKET_OPENED, now)
        return self._done()

    def on_socket_failed(
        self, failure: Failure, now: Moment, *, retry_after_s: float | None = None, detail: str = ""
    ) -> list[Action]:
        """The socket could not be opened."""
        self._detail = detail
        if failure is Failure.RATE_LIMITED:
            self._retry_policy.note_limit(now, retry_after_s)
        if self._phase is Phase.OPENING:
            self._phase = Phase.AWAY
            self._fail(failure, now, retry_after_s)
        return self._done()

    def on_socket_ended(self, cause: Cause, now: Moment, *, detail: str = "") -> list[Action]:
        """The socket has ended, for a cause that is not ours."""
        self._detail = detail
        if self.has_socket:
            self._leave(cause, now, has_ended=True)
        return self._done()

    def on_ready(self, now: Moment) -> list[Action]:
        """`system` with `success`."""
        if self._phase is Phase.OPEN:
            self._become_ready(Cause.READY, now)
        elif self.has_socket and not self._is_ready_said:
            # Only now it listens: what was subscribed before may not have been heard.
            self._notice(Cause.READY, now)
            self.care.ask_again(now)
        self._is_ready_said = True
        return self._done()

    def on_status(
        self, authenticated: bool | None, connected: bool | None, competing: bool | None, now: Moment
    ) -> list[Action]:
        """`sts`: whole at first, in fragments later; None for what it does not say."""
        old = self.session
        self.session = SessionFacts(
            old.generation,
            old.authenticated if authenticated is None else authenticated,
            old.connected if connected is None else connected,
            old.competing if competing is None else competing,
        )
        if authenticated is not None:
            self._has_sts = True
        self._judge_session(now)
        if competing and self._phase is Phase.LIVE:
            # Told although the data still flows: it will not for long.
            self._notice(Cause.COMPETING, now)
            self._tickle_s = min(self._tickle_s, now.s)
        return self._done()

    def on_subscription_frame(
        self,
        topic: str,
        received_ns: int,
        now: Moment,
        *,
        is_snapshot: bool = False,
        stream_id: str | None = None,
    ) -> list[Action]:
        """A frame of an armed topic, in its order among the others.

        Args:
            topic: its topic.
            received_ns: its receive time.
            now: now.
            is_snapshot: whether it looks like an answer to a subscribe and not like a tick.
            stream_id: its `server_id`, if it has one.
        """
        is_data = self.care.on_frame(topic, received_ns, now, is_snapshot=is_snapshot, stream_id=stream_id)
        if is_data and self._phase is Phase.LIVE and self.state is not FeedState.STREAMING:
            self._dead_s = _NEVER
            self._streaming_since_s = now.s
            self._enter(FeedState.STREAMING, Cause.DATA, now)
        return self._done()

    def on_refused(self, topic: str, now: Moment) -> list[Action]:
        """An error frame that names a topic, such as `sor` with code 500."""
        if self.care.on_refused(topic, now) and self._phase is Phase.LIVE and self._step is None:
            self._ask(CallKind.ACCOUNTS, now)
        return self._done()

    # --- time -------------------------------------------------------------------------------------

    def tick(self, now: Moment) -> list[Action]:
        """Do what is due."""
        self._notice_lateness(now)
        if self._own_due_s <= now.s:
            self._do_due(now)
        self._tend(now)
        if self._dead_s <= now.s:
            self._dead_s = _NEVER
            if self.care.is_dead(now.s):
                self._dead_tries += 1
                self._leave(Cause.ALL_STALE, now)
        return self._done()

    def _do_due(self, now: Moment) -> None:
        if self._retry_s <= now.s:
            self._retry_s = _NEVER
            if self._step is None:
                self._ask(CallKind.TICKLE, now)
        if self._ready_s <= now.s:
            self._on_ready_timeout(now)
        if self._sts_s <= now.s:
            self._sts_s = _NEVER
            self._has_sts = True
            self._judge_session(now)
        if self._tic_s <= now.s:
            self._tic_s = now.s + self.options.keepalive_interval_s
            self.care.send_text(TIC_TEXT, now)
        if self._tickle_s <= now.s:
            self._tickle(now)
        if self._socket_s <= now.s:
            self._check_socket(now)

    def _notice_lateness(self, now: Moment) -> None:
        if now.s - self.due_s <= _LATE_S:
            if now.s >= self._blind_until_s:
                self._graces = 0
        elif self._graces < _MOST_GRACES:
            self._graces += 1
            self._blind_until_s = now.s + _GRACE_S
            self.care.go_blind(self._blind_until_s)

    def _tend(self, now: Moment) -> None:
        self.care.tick(now)
        if self._phase is Phase.LIVE and self.state is not FeedState.STALE and self.care.is_dead(now.s):
            self._streaming_since_s = _NEVER
            self._enter(FeedState.STALE, Cause.ALL_STALE, now)
            # Maybe the session has changed under the socket: ask now.
            self._tickle_s = now.s
            self._dead_s = now.s + min(_DEAD_DATA_S * 2.0 ** min(self._dead_tries, 10), _DEAD_DATA_MAX_S)

    def _check_socket(self, now: Moment) -> None:
        if self._is_paused:
            self._socket_s = now.s + self.options.socket_timeout_s
            return
        dead_s = max(self._heard_s(), self._opened_s) + self.options.socket_timeout_s
        if now.s < dead_s:
            self._socket_s = dead_s
        elif now.s < self._blind_until_s:
            self._socket_s = self._blind_until_s
        else:
            self._leave(Cause.SOCKET_SILENT, now)
