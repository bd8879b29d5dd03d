"""The state that all parts of one simulated gateway share."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cpapi_fast.clock import Clock

from .frame_writer import SentFrame
from .market import Market
from .options import SimulatorOptions
from .orders import OrderBook
from .session import GatewaySession
from .trades import TradeBook

#: How many REST requests a long-running gateway keeps.
_MAX_REQUESTS = 10_000


@dataclass
class ReceivedRequest:
    """A REST request or WebSocket upgrade that the gateway received.

    Attributes:
        time_ns: when it arrived, on the gateway's clock.
        method: the HTTP method.
        path: the path, with its `/v1/api`.
        headers: name and value of every header line, in order. May contain the session.
        body: the request body.
        query: names and values of the query string.
        status: the status of the response; None until there is one.
    """

    time_ns: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None

    def header(self, name: str) -> str | None:
        """The value of the first header line with that name. The case of the name does not matter."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class RestFailure:
    """A response that replaces the regular one for some of the next requests to a path."""

    path: str
    status: int
    body: bytes
    headers: Mapping[str, str]
    delay_s: float
    times: int | None


class GatewayState:
    """Options, clock, session, market, orders and executions of a gateway, and the faults that are active.

    Attributes:
        requests: the REST requests and upgrades received, oldest first.
        failures: the active `fail_rest` responses.
        maintenance_status: the status of every response during maintenance; None outside of it.
        is_fragmenting: whether data frames are written in two fragments.
        subscribes_to_drop: how many of the next subscribes are dropped without a reply.
        channels_to_drop: the channels (`smd`, `sor`) that `subscribes_to_drop` applies to.
        order_subscribes_to_refuse: how many of the next `sor` subscribes are refused.
        log: the data frames written so far; empty without `keep_log`.
        last_request_s: when the last REST request was accepted, on the gateway's clock.
        replays_capture: whether the data frames are those of a capture, and no invented ones.
        replay_done: set once the whole replay file was sent on a socket.
        responding: cleared while the gateway is stalled.
    """

    def __init__(self, options: SimulatorOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.session = GatewaySession(
            seed=options.seed, is_logged_in=options.is_logged_in, has_brokerage=options.has_brokerage
        )
        self.market = Market(
            seed=options.seed,
            conids=options.conids,
            inactive_conids=options.inactive_conids,
            now_s=lambda: clock.time_ns() / 1e9,
        )
        self.orders = OrderBook(options.accounts[0], options.seed)
        self.trades = TradeBook(options.accounts[0], options.seed)
        self.requests: deque[ReceivedRequest] = deque(maxlen=_MAX_REQUESTS)
        self.failures: list[RestFailure] = []
        self.maintenance_status: int | None = None
        self.is_fragmenting = False
        self.subscribes_to_drop = 0
        self.channels_to_drop: frozenset[str] = frozenset()
        self.order_subscribes_to_refuse = 0
        self.log: list[SentFrame] = []
        self.last_request_s = clock.monotonic_s()
        self.replay_done = asyncio.Event()
        self.replays_capture = False
        self.responding = asyncio.Event()
        self.responding.set()
        self._delayed: set[asyncio.Task[object]] = set()

    @contextlib.contextmanager
    def closable(self) -> Iterator[None]:
        """Let `close` cancel the current task inside this block."""
        if (task := asyncio.current_task()) is None:
            raise RuntimeError("closable() needs a running task")
        self._delayed.add(task)
        try:
            yield
        finally:
            self._delayed.discard(task)

    def close(self) -> None:
        """Release the requests that a stalled gateway holds, and cancel those whose response is delayed."""
        self.responding.set()
        for task in self._delayed:
            task.cancel()

    def refuses_orders(self) -> bool:
        """Whether to refuse this `sor` subscribe. Counts it."""
        if self.order_subscribes_to_refuse <= 0:
            return self.options.refuse_orders_until_accounts and not self.session.has_read_accounts
        self.order_subscribes_to_refuse -= 1
        return True

    def drops_subscribe(self, channel: str) -> bool:
        """Whether to drop this subscribe. Counts it."""
        if self.subscribes_to_drop <= 0 or channel not in self.channels_to_drop:
            return False
        self.subscribes_to_drop -= 1
        return True
