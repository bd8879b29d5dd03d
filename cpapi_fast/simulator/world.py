"""What all parts of one simulated gateway share."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cpapi_fast.clock import Clock

from .market import Market
from .options import SimulatorOptions
from .outbox import SentFrame
from .session import Session

if TYPE_CHECKING:
    from .connection import Connection

#: How many REST requests and connections a long-running gateway remembers.
_MOST_REQUESTS = 10_000
_MOST_CONNECTIONS = 100


@dataclass
class ReceivedRequest:
    """A REST call or upgrade as it arrived.

    Attributes:
        time_ns: when, on the gateway's clock.
        method: the HTTP method.
        path: the path with its `/v1/api`.
        headers: name and value of every header line, in order; may hold the session.
        body: the body.
        query: names and values behind the question mark.
        status: the answer's status, None while there is none.
    """

    time_ns: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None

    def header(self, name: str) -> str | None:
        """The value of the first header line of that name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Failure:
    """An answer that some of the next calls of a path get instead of the right one."""

    path: str
    status: int
    body: bytes
    headers: Mapping[str, str]
    delay_s: float
    times: int | None


class World:
    """Options, clock, session, market, sockets, and what is broken on purpose."""

    def __init__(self, options: SimulatorOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.session = Session(
            seed=options.seed, is_logged_in=options.is_logged_in, has_brokerage=options.has_brokerage
        )
        self.market = Market(
            seed=options.seed,
            conids=options.conids,
            dead_conids=options.dead_conids,
            now_s=lambda: clock.time_ns() / 1e9,
        )
        self.connections: deque[Connection] = deque(maxlen=_MOST_CONNECTIONS)
        self.requests: deque[ReceivedRequest] = deque(maxlen=_MOST_REQUESTS)
        self.failures: list[Failure] = []
        #: What the gateway answers to everything while it is maintained.
        self.maintenance_status: int | None = None
        self.is_fragmenting = False
        #: How many of the next subscribes are dropped, and how many of the next `sor` are refused.
        self.swallowing = 0
        self.swallowed_words: frozenset[str] = frozenset()
        self.refusing_orders = 0
        self.log: list[SentFrame] = []
        self.last_request_s = clock.monotonic_s()
        self.replay_done = asyncio.Event()
        #: Not set while the gateway plays dead.
        self.answering = asyncio.Event()
        self.answering.set()
        self._sleeping: set[asyncio.Task[object]] = set()
        self._open: dict[int, Connection] = {}
        self._opened = 0

    @contextlib.contextmanager
    def closable(self) -> Iterator[None]:
        """Let `close` cancel the current task inside this block."""
        task = asyncio.current_task()
        assert task is not None
        self._sleeping.add(task)
        try:
            yield
        finally:
            self._sleeping.discard(task)

    def close(self) -> None:
        """Release the requests that are held back, and cancel those whose response is delayed."""
        self.answering.set()
        for task in self._sleeping:
            task.cancel()

    @property
    def open_connections(self) -> list[Connection]:
        """The sockets that are open now."""
        return list(self._open.values())

    def add(self, connection: Connection) -> None:
        """Count a socket as open."""
        self.connections.append(connection)
        self._open[connection.number] = connection

    def remove(self, connection: Connection) -> None:
        """Count a socket as closed."""
        self._open.pop(connection.number, None)

    def next_number(self) -> int:
        """A number for the next connection, from 1."""
        self._opened += 1
        return self._opened

    def live_lines(self) -> int:
        """How many market data lines are in use."""
        return sum(len(connection.topics.streams) for connection in self._open.values())

    def refuses_orders(self) -> bool:
        """Whether this `sor` is one of those to be refused; counts it."""
        if self.refusing_orders <= 0:
            return self.options.refuse_orders_until_accounts and not self.session.has_read_accounts
        self.refusing_orders -= 1
        return True

    def swallows_subscribe(self, word: str) -> bool:
        """Whether this subscribe is one of those to be dropped; counts it."""
        if self.swallowing <= 0 or word not in self.swallowed_words:
            return False
        self.swallowing -= 1
        return True
