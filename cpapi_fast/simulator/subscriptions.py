"""What one socket has subscribed to: every `TOPIC+TARGET+{JSON}` text and what it starts or ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock

from . import frames, history
from .feeds import Feed, Moment, parameters, texts
from .ladder import LadderFeed
from .market import Market
from .options import SimulatorOptions
from .orders import OrdersFeed
from .portfolio import LedgerFeed, PnlFeed, SummaryFeed
from .session import Session
from .smd import Stream
from .trades import TradesFeed
from .wire import payload

#: Subscribes that need the brokerage session; without it they are dropped.
_BROKERAGE: Final = frozenset({"smd", "smh", "sbd", "sor", "str"})
SUBSCRIBES: Final = _BROKERAGE | {"spl", "ssd", "sld"}
#: More than anybody starts on one socket.
_FEEDS_PER_SOCKET: Final = 1_000


class Subscriptions:
    """The subscriptions of one socket. Nothing here survives it.

    Attributes:
        streams: live `smd`, by target.
        feeds: live subscriptions of other topics, by their word, or word and account.
        histories: open `smh`, `serverId` to target.
        ignored: how many texts were dropped without a word.
        revision: counts up whenever `streams` changes.
    """

    def __init__(
        self,
        *,
        number: int,
        options: SimulatorOptions,
        clock: Clock,
        session: Session,
        market: Market,
        live_lines: Callable[[], int],
        swallows: Callable[[str], bool],
        refuses_orders: Callable[[], bool],
    ) -> None:
        self._options = options
        self._clock = clock
        self._session = session
        self._market = market
        self._live_lines = live_lines
        self._swallows = swallows
        self._refuses_orders = refuses_orders
        self.streams: dict[str, Stream] = {}
        self.feeds: dict[str, Feed] = {}
        self.histories: dict[str, str] = {}
        self.ignored = 0
        self.revision = 0
        # Each socket goes on with other orders and trades than the one before it.
        self._feeds_started = (number - 1) * _FEEDS_PER_SOCKET
        self._handlers: Final[dict[str, Callable[[str], list[bytes]]]] = {
            "smd": self._subscribe_market_data,
            "umd": self._unsubscribe_market_data,
            "smh": self._subscribe_history,
            "umh": self._unsubscribe_history,
            "sbd": self._subscribe_ladder,
            "ubd": lambda rest: self._end(f"sbd+{_first(rest)}"),
            "sor": self._subscribe_orders,
            "uor": lambda _rest: self._end("sor"),
            "str": lambda rest: self._start("str", TradesFeed(self._account, self._feed_seed(), parameters(rest))),
            "utr": lambda _rest: self._end("str"),
            "spl": lambda _rest: self._start("spl", PnlFeed(self._account, self._feed_seed())),
            "upl": lambda _rest: self._end("spl"),
            "ssd": self._subscribe_summary,
            "usd": lambda rest: self._end_told("ssd", rest, "unsubscribed from summary"),
            "sld": self._subscribe_ledger,
            "uld": lambda rest: self._end_told("sld", rest, "unsubscribed from ledger"),
        }

    @property
    def _account(self) -> str:
        return self._options.accounts[0]

    def live(self) -> tuple[str, ...]:
        """The topics that are subscribed to now."""
        return (
            *(stream.topic for stream in self.streams.values()),
            *(feed.topic for feed in self.feeds.values()),
            *(f"smh+{target}" for target in self.histories.values()),
        )

    def knows(self, text: str) -> bool:
        """Whether a text is a subscribe or unsubscribe."""
        return text.partition("+")[0] in self._handlers

    def handle(self, text: str) -> list[bytes]:
        """The frames that answer a text that `knows` knows."""
        word, _, rest = text.partition("+")
        if word in _BROKERAGE and not self._session.is_authenticated:
            return self._ignore()
        if self._swallows(word):
            return self._ignore()
        return self._handlers[word](rest)

    def poll(self, now: Moment) -> list[bytes]:
        """End what has lived its time, in silence, and give the frames of other topics that are due."""
        for target in [target for target, stream in self.streams.items() if stream.expires_s <= now.s]:
            self.kill(target)
        found: list[bytes] = []
        for feed in self.feeds.values():
            found += feed.poll(now)
        return found

    def kill(self, target: str) -> bool:
        """End an `smd` in silence; whether there was one. Asked for again, it is a new stream."""
        if self.streams.pop(target, None) is None:
            return False
        self.revision += 1
        return True

    def drop_brokerage(self) -> None:
        """End everything that needs the brokerage session."""
        self.streams.clear()
        self.histories.clear()
        self.feeds = {name: feed for name, feed in self.feeds.items() if not feed.needs_brokerage}
        self.revision += 1

    def drop_all(self) -> None:
        """End everything."""
        self.drop_brokerage()
        self.feeds.clear()

    def _ignore(self) -> list[bytes]:
        self.ignored += 1
        return []

    def _now_ms(self) -> int:
        return self._clock.time_ns() // 1_000_000

    def _feed_seed(self) -> int:
        # Asked for again, a feed goes on with other orders and trades than before.
        self._feeds_started += 1
        return self._options.seed * 1_000_003 + self._feeds_started

    def _subscribe_market_data(self, rest: str) -> list[bytes]:
        target, _, text = rest.partition("+")
        instrument = self._market.instrument(target)
        if instrument is None:
            return self._ignore()
        fields = texts(parameters(text).get("fields"))
        now_s = self._clock.monotonic_s()
        expires_s = now_s + self._options.stream_life_s
        stream = self.streams.get(target)
        if stream is not None and stream.expires_s > now_s:
            # Reported, not proven: asking again adds fields. That it renews the 15 minutes is documented.
            stream.add_fields(fields)
            stream.expires_s = expires_s
            return stream.snapshots(self._now_ms()) if self._options.renewals_answered else []
        if stream is None and self._live_lines() >= self._options.market_data_lines:
            return self._ignore()
        stream = Stream(instrument, self._session.next_server_id(), fields, expires_s)
        self.streams[target] = stream
        self.revision += 1
        return stream.snapshots(self._now_ms())

    def _unsubscribe_market_data(self, rest: str) -> list[bytes]:
        return [] if self.kill(_first(rest)) else self._ignore()

    def _subscribe_history(self, rest: str) -> list[bytes]:
        target, _, text = rest.partition("+")
        if self._market.instrument(target) is None:
            return self._ignore()
        if len(self.histories) >= self._options.history_slots:
            # The limit is documented, the text of the refusal is not.
            return [frames.error("too many history requests", 500, f"smh+{target}")]
        given = parameters(text)
        instrument = self._market.with_history(target, given.get("exchange"))
        if instrument is None:
            return [frames.error("Chart data unavailable", 500, f"smh+{target}")]
        server_id = self._session.next_history_id()
        self.histories[server_id] = target
        return [history.socket_answer(instrument.history(server_id, given, end_ms=self._now_ms()), target)]

    def _unsubscribe_history(self, rest: str) -> list[bytes]:
        server_id = _first(rest)
        if self.histories.pop(server_id, None) is None:
            return self._ignore()
        return [payload({"message": f"Unsubscribed {server_id}"})]

    def _subscribe_ladder(self, rest: str) -> list[bytes]:
        parts = [part for part in rest.split("+") if part != "{}"]
        if len(parts) not in (2, 3) or parts[0] not in self._options.accounts or not parts[1].isdigit():
            return self._ignore()
        # One ladder per account, since the unsubscribe names the account only.
        return self._start(f"sbd+{parts[0]}", LadderFeed("+".join(parts), self._feed_seed()))

    def _subscribe_orders(self, rest: str) -> list[bytes]:
        if self._refuses_orders():
            return [frames.error("unable to subscribe", 500, "sor")]
        return self._start("sor", OrdersFeed(self._account, self._feed_seed(), parameters(rest)))

    def _subscribe_summary(self, rest: str) -> list[bytes]:
        account, _, text = rest.partition("+")
        if account not in self._options.accounts:
            return self._ignore()
        return self._start(f"ssd+{account}", SummaryFeed(account, self._feed_seed(), parameters(text)))

    def _subscribe_ledger(self, rest: str) -> list[bytes]:
        account, _, text = rest.partition("+")
        if account not in self._options.accounts:
            return self._ignore()
        return self._start(f"sld+{account}", LedgerFeed(account, self._feed_seed(), parameters(text)))

    def _start(self, name: str, feed: Feed) -> list[bytes]:
        self.feeds[name] = feed
        return feed.first(Moment(self._clock.monotonic_s(), self._now_ms()))

    def _end(self, name: str) -> list[bytes]:
        if self.feeds.pop(name, None) is None:
            return self._ignore()
        return []

    def _end_told(self, word: str, rest: str, told: str) -> list[bytes]:
        name = f"{word}+{_first(rest)}"
        return [payload({"result": told})] if self.feeds.pop(name, None) is not None else self._ignore()


def _first(rest: str) -> str:
    return rest.partition("+")[0]
