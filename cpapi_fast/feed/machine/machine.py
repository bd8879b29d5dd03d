"""Machine: the inputs of a feed's state machine. Each returns the actions that follow from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from random import Random
from typing import Final

from cpapi_fast.events import Cause, FeedState, Standstill, StandstillReason
from cpapi_fast.feed.options import FeedOptions

from .actions import Action, Activity, Emit, Failure, FrameHeader, Moment, SessionFacts
from .session.connection_lifecycle import ConnectionLifecycle, Phase
from .session.session_calls import SessionCalls
from .session.session_lifecycle import SessionLifecycle
from .session.socket_timeout import SocketTimeout
from .session.state_reporter import StateReporter
from .subscriptions.subscription_manager import SubscriptionManager
from .subscriptions.subscription_state import SubscriptionSpec

_NEVER: Final = float("inf")


class Machine:
    """The policy of one feed: decides what to send, request and report.

    Every input returns the actions that follow from it, in order. After each input `due_s` is the time of the next
    `tick`. Before each input, pass the counts of received frames to `observe`:

    - before `tick`, `subscribe` and `unsubscribe`: those of `topics_due`, and of the topic itself;
    - before `on_subscription_frame` and `on_refused`: those of their topic;
    - before `on_paused`: none, because a full consumer may pause the socket many times a second;
    - before every other input: those of all topics.

    Args:
        options: the options of the feed.
        seed: the seed of the jitter.
    """

    def __init__(self, options: FeedOptions, *, seed: int = 0) -> None:
        #: When to call `tick` next, in seconds of the clock; infinity if only another input can change that.
        self.due_s = _NEVER
        self._session_due_s = _NEVER
        random = Random(seed)
        self._actions: list[Action] = []
        self._reporter = StateReporter(self._act, is_reclaiming=options.competing == "reclaim")
        self._calls = SessionCalls(options, random, self._act, self._reporter)
        self._manager = SubscriptionManager(options, random, self._act)
        self._socket_timeout = SocketTimeout(options.socket_timeout_s)
        self._connection = ConnectionLifecycle(
            options, self._act, self._reporter, self._calls, self._socket_timeout, self._manager
        )
        self._session = SessionLifecycle(options, self._reporter, self._calls, self._connection)
        self.options: Final = options
        #: All subscriptions by topic. Read-only for callers, like `requests`.
        self.subscriptions: Final = self._manager.subscriptions
        #: Counts the renewals, probes and resubscribes that were sent.
        self.requests: Final = self._manager.requests
        #: The texts that wait. Read-only for callers: its length, and when the oldest entry was added.
        self.send_queue: Final = self._manager.send_queue

    def _act(self, action: Action) -> None:
        self._actions.append(action)

    def _take_actions(self) -> list[Action]:
        calls = self._calls
        self._session_due_s = min(calls.due_s, self._connection.due_s, self._socket_timeout.due_s)
        self.due_s = min(self._session_due_s, self._manager.due_s)
        actions, self._actions = self._actions, []
        self._reporter.detail = ""
        self._reporter.advice = {}
        return actions

    # --- state ------------------------------------------------------------------------------------

    @property
    def state(self) -> FeedState:
        """The state of the feed."""
        return self._reporter.state

    @property
    def session(self) -> SessionFacts:
        """The latest facts about the session, from REST and `sts`."""
        return self._calls.session

    @property
    def has_socket(self) -> bool:
        """Whether a socket is open."""
        return self._connection.has_socket

    @property
    def connections(self) -> int:
        """How many sockets were opened."""
        return self._connection.connections

    @property
    def next_try_s(self) -> float | None:
        """When to try to reach the gateway again, in seconds of the clock; None if no try is scheduled."""
        retry_s = self._calls.retry_s
        return None if retry_s == _NEVER else retry_s

    # --- received frames --------------------------------------------------------------------------

    def topics_due(self, now_s: float, last_frame_s: float) -> Collection[str]:
        """The topics whose counts `observe` needs before a tick at this time.

        Args:
            now_s: the time of the tick, in seconds of the clock.
            last_frame_s: as for `observe`.
        """
        if self._session_due_s <= now_s and (
            self._connection.change_due_s <= now_s or self._socket_timeout.will_time_out(now_s, last_frame_s)
        ):
            return self.subscriptions
        return self._manager.topics_due(now_s)

    def observe(self, activity: Mapping[str, Activity], last_frame_s: float) -> None:
        """Store the counts of the frames that were received until now.

        Args:
            activity: the counts of some topics, over all connections; topics without a subscription are ignored.
            last_frame_s: when the last frame of any kind was received, in seconds of the clock; 0 before the first.
        """
        self._socket_timeout.last_frame_s = last_frame_s
        self._manager.observe(activity, last_frame_s)

    # --- inputs from the user ----------------------------------------------------------------------------

    def start(self, now: Moment) -> list[Action]:
        """Begin to connect."""
        if self._connection.phase is Phase.IDLE:
            self._session.start(now)
        return self._take_actions()

    def stop(self, now: Moment) -> list[Action]:
        """Disconnect, and report the open gaps without an end."""
        if self._connection.phase is not Phase.IDLE:
            self._session.stop(now)
        return self._take_actions()

    def subscribe(self, spec: SubscriptionSpec, now: Moment) -> list[Action]:
        """Subscribe as soon as the connection allows it, and after each reconnect.

        Raises:
            LimitError: all market data lines of the account are in use.
        """
        self._manager.add(spec, now)
        return self._take_actions()

    def unsubscribe(self, topic: str, now: Moment) -> list[Action]:
        """End a subscription."""
        self._manager.remove(topic, now)
        return self._take_actions()

    def request_orders(self, now: Moment) -> list[Action]:
        """Request the orders. Without an action, the connection or the budget of requests does not allow it now."""
        if self._connection.phase is Phase.LIVE:
            self._calls.request_orders(now)
        return self._take_actions()

    def on_paused(self, is_paused: bool, now: Moment) -> list[Action]:
        """This side has stopped reading the socket, or reads it again. While paused, nothing becomes stale."""
        if is_paused:
            self._socket_timeout.pause()
            self._manager.pause()
        else:
            self._socket_timeout.resume(now.s)
            self._manager.resume(now.s)
        return self._take_actions()

    # --- inputs from REST --------------------------------------------------------------------------------

    def on_facts(self, number: int, facts: SessionFacts, now: Moment) -> list[Action]:
        """A call to `/tickle` or `ssodh/init` got its response.

        Args:
            number: `Call.number`; a number that is not expected is ignored.
            facts: the state of the session in the response.
            now: the current time.
        """
        if not facts.authenticated:
            self._reporter.detail = facts.words
        self._session.on_facts(number, facts, now)
        return self._take_actions()

    def on_accounts(self, number: int, now: Moment) -> list[Action]:
        """A call to `/iserver/accounts` got its response."""
        self._session.on_accounts(number, now)
        return self._take_actions()

    def on_call_failed(
        self,
        number: int,
        failure: Failure,
        now: Moment,
        *,
        retry_after_s: float | None = None,
        detail: str = "",
        advice: str = "",
    ) -> list[Action]:
        """A call failed.

        Args:
            number: `Call.number`.
            failure: why.
            now: the current time.
            retry_after_s: the pause that the response or the client's pacer requires; None if neither does.
            detail: the text of the error, for the event.
            advice: what to do about this response, for the event; empty for the advice of its cause.
        """
        self._reporter.detail = detail
        self._reporter.advice = {failure.cause: advice}
        self._session.on_call_failed(number, failure, now, retry_after_s)
        return self._take_actions()

    # --- inputs from the socket --------------------------------------------------------------------------

    def on_socket_opened(self, now: Moment) -> list[Action]:
        """The socket is open."""
        self._connection.on_socket_opened(now)
        return self._take_actions()

    def on_socket_failed(
        self,
        failure: Failure,
        now: Moment,
        *,
        retry_after_s: float | None = None,
        detail: str = "",
        advice: str = "",
    ) -> list[Action]:
        """The socket could not be opened."""
        self._reporter.detail = detail
        self._reporter.advice = {failure.cause: advice}
        self._session.on_socket_failed(failure, now, retry_after_s)
        return self._take_actions()

    def on_socket_ended(self, cause: Cause, now: Moment, *, detail: str = "") -> list[Action]:
        """The socket ended without a `CloseSocket`."""
        self._reporter.detail = detail
        if self._connection.has_socket:
            self._connection.reconnect(cause, now, has_ended=True)
        return self._take_actions()

    def on_ready(self, now: Moment) -> list[Action]:
        """The gateway sent `system` with `success`: it accepts subscribes."""
        if self._connection.on_ready(now):
            self._manager.resubscribe_unanswered(now)
        return self._take_actions()

    def on_status(
        self,
        authenticated: bool | None,
        connected: bool | None,
        competing: bool | None,
        now: Moment,
        *,
        words: str = "",
    ) -> list[Action]:
        """The gateway sent `sts`, complete or in part.

        Args:
            authenticated: whether the brokerage session is open; None if the frame does not say it, as below.
            connected: whether the gateway is connected to IB.
            competing: whether another login competes for the brokerage session, by flag or by words.
            now: the current time.
            words: the gateway's words in it, without secrets.
        """
        if not authenticated:
            self._reporter.detail = words
        self._connection.on_status(authenticated, connected, competing, now)
        return self._take_actions()

    def on_subscription_frame(
        self,
        topic: str,
        received_ns: int,
        now: Moment,
        *,
        late_ns: int = 0,
        is_snapshot: bool = False,
        stream_id: str | None = None,
        is_newer: bool | None = None,
    ) -> list[Action]:
        """A frame of a watched topic was received.

        Args:
            topic: its topic.
            received_ns: its receive time.
            now: the current time.
            late_ns: how late it was, in ns; 0 if it was not.
            is_snapshot: whether it has the form of a reply to a subscribe, not of a tick.
            stream_id: its `server_id`, if it has one.
            is_newer: whether its `_updated` is later than that of the frame of its topic before; None if unknown.
        """
        header = FrameHeader(received_ns, late_ns, is_snapshot, stream_id, is_newer)
        if self._manager.on_frame(topic, now, header):
            self._connection.on_data(now)
        return self._take_actions()

    def on_refused(self, topic: str, now: Moment) -> list[Action]:
        """The gateway sent an error frame for a topic, such as `sor` with code 500."""
        if self._manager.on_refused(topic, now):
            self._session.on_refused(now)
        return self._take_actions()

    def on_standstill(
        self, length_ns: int, reason: StandstillReason, now: Moment, *, suspended_s: float = 0.0
    ) -> list[Action]:
        """Nothing was received for a while; what waited follows late. Nothing becomes stale before it is read.

        Args:
            length_ns: how long, in ns of the machine's own clock.
            reason: where the data waited.
            now: the current time, which is the end of the standstill.
            suspended_s: for how long the machine was suspended, in seconds of the clock. `now.s` does not include it.
        """
        if self._connection.phase is not Phase.IDLE:
            self._act(Emit(Standstill(now.ns - length_ns, length_ns, reason)))
            if reason is not StandstillReason.NETWORK and self._socket_timeout.start_grace(now.s):
                self._manager.set_grace(self._socket_timeout.grace_until_s)
            if suspended_s:
                # The session may have ended meanwhile.
                self._calls.keepalive_s = min(self._calls.keepalive_s, now.s)
            self._manager.on_standstill(now.s, suspended_s)
        return self._take_actions()

    # --- inputs from the timer -------------------------------------------------------------------------------------

    def tick(self, now: Moment) -> list[Action]:
        """Do what is due: keepalives, timeouts, checks, renewals, queued texts."""
        manager, connection = self._manager, self._connection
        if self._socket_timeout.note_lateness(now.s - self.due_s, now.s):
            manager.set_grace(self._socket_timeout.grace_until_s)
        is_session_due = self._session_due_s <= now.s
        if is_session_due:
            self._calls.retry(now, is_live=connection.phase is Phase.LIVE)
            connection.tick(now)
            self._calls.keep_alive(now)
            if connection.has_socket and self._socket_timeout.has_timed_out(now.s):
                connection.reconnect(Cause.SOCKET_SILENT, now)
        manager.tick(now)
        is_live = connection.phase is Phase.LIVE
        if is_live and not connection.is_stale and manager.is_all_stale(now.s):
            connection.on_all_stale(now)
        if is_session_due and connection.is_replacement_due(now.s) and manager.is_all_stale(now.s):
            connection.replace_socket(now)
        return self._take_actions()
