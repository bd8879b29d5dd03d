"""The subscriptions of one socket: handles every `CHANNEL+TARGET+{JSON}` text that starts or ends one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock

from . import history, system_frames
from .ladder import LadderStream
from .market import Market
from .market_data import MarketDataStream
from .options import SimulatorOptions
from .orders import OrderBook, OrderStream
from .portfolio import LedgerStream, PnlStream, SummaryStream
from .session import GatewaySession
from .topic_streams import Moment, TopicStream, parameters, texts
from .trades import TradeBook, TradeStream
from .wire import payload

#: Channels that need the brokerage session; without it their subscribes are dropped.
_BROKERAGE: Final = frozenset({"smd", "smh", "sbd", "sor", "str"})
SUBSCRIBES: Final = _BROKERAGE | {"spl", "ssd", "sld"}
#: The channels whose frames a capture replaces: all of them but history, which is a reply to a request.
DATA_CHANNELS: Final = SUBSCRIBES - {"smh"}
#: The range of seeds for one socket; no client starts more streams on it.
_STREAMS_PER_SOCKET: Final = 1_000


class SocketSubscriptions:
    """The subscriptions of one socket. They end with it.

    Attributes:
        streams: the active `smd` streams, by target.
        topic_streams: the active streams of other topics, by channel, or by channel and account.
        histories: the open `smh` requests, `serverId` to target.
        ignored: how many texts were ignored without a reply.
        revision: increases whenever `streams` changes.
    """

    def __init__(
        self,
        *,
        number: int,
        options: SimulatorOptions,
        clock: Clock,
        session: GatewaySession,
        market: Market,
        orders: OrderBook,
        trades: TradeBook,
        lines_in_use: Callable[[], int],
        drops_subscribe: Callable[[str], bool],
        refuses_orders: Callable[[], bool],
    ) -> None:
        self._options = options
        self._clock = clock
        self._session = session
        self._market = market
        self._orders = orders
        self._trades = trades
        self._lines_in_use = lines_in_use
        self._drops_subscribe = drops_subscribe
        self._refuses_orders = refuses_orders
        self.streams: dict[str, MarketDataStream] = {}
        self.topic_streams: dict[str, TopicStream] = {}
        self.histories: dict[str, str] = {}
        self.ignored = 0
        self.revision = 0
        # Each socket gets other profits and balances than the one before it.
        self._streams_started = (number - 1) * _STREAMS_PER_SOCKET
        self._handlers: Final[dict[str, Callable[[str], list[bytes]]]] = {
            "smd": self._subscribe_market_data,
            "umd": self._unsubscribe_market_data,
            "smh": self._subscribe_history,
            "umh": self._unsubscribe_history,
            "sbd": self._subscribe_ladder,
            "ubd": lambda rest: self._end(f"sbd+{_first(rest)}"),
            "sor": self._subscribe_orders,
            "uor": lambda _rest: self._end("sor"),
            "str": lambda rest: self._start("str", TradeStream(self._trades, parameters(rest))),
            "utr": lambda _rest: self._end("str"),
            "spl": lambda _rest: self._start("spl", PnlStream(self._account, self._stream_seed())),
            "upl": lambda _rest: self._end("spl"),
            "ssd": self._subscribe_summary,
            "usd": lambda rest: self._end_with_reply("ssd", rest, "unsubscribed from summary"),
            "sld": self._subscribe_ledger,
            "uld": lambda rest: self._end_with_reply("sld", rest, "unsubscribed from ledger"),
        }

    @property
    def _account(self) -> str:
        return self._options.accounts[0]

    def topics(self) -> tuple[str, ...]:
        """The topics that are subscribed to now."""
        return (
            *(stream.topic for stream in self.streams.values()),
            *(stream.topic for stream in self.topic_streams.values()),
            *(f"smh+{target}" for target in self.histories.values()),
        )

    def knows(self, text: str) -> bool:
        """Whether a text is a subscribe or unsubscribe."""
        return text.partition("+")[0] in self._handlers

    def handle(self, text: str) -> list[bytes]:
        """The replies to a text for which `knows` is True."""
        channel, _, rest = text.partition("+")
        if channel in _BROKERAGE and not self._session.is_authenticated:
            return self._ignore()
        if self._drops_subscribe(channel):
            return self._ignore()
        return self._handlers[channel](rest)

    def poll(self, now: Moment) -> list[bytes]:
        """End the streams that expired, without a frame, and return the frames of other topics that are due."""
        for target in [target for target, stream in self.streams.items() if stream.expires_s <= now.s]:
            self.end_stream(target)
        found: list[bytes] = []
        for stream in self.topic_streams.values():
            found += stream.poll(now)
        return found

    def freeze_stream(self, target: str) -> bool:
        """Send no more ticks of an `smd` stream, and reply to a repeated subscribe with its old snapshot."""
        stream = self.streams.get(target)
        if stream is None:
            return False
        stream.freeze(self._now_ms())
        return True

    def end_stream(self, target: str) -> bool:
        """End an `smd` stream without a frame; whether there was one. The next subscribe starts a new stream."""
        if self.streams.pop(target, None) is None:
            return False
        self.revision += 1
        return True

    def drop_brokerage(self) -> None:
        """End all subscriptions that need the brokerage session."""
        self.streams.clear()
        self.histories.clear()
        self.topic_streams = {name: stream for name, stream in self.topic_streams.items() if not stream.needs_brokerage}
        self.revision += 1

    def drop_all(self) -> None:
        """End all subscriptions."""
        self.drop_brokerage()
        self.topic_streams.clear()

    def _ignore(self) -> list[bytes]:
        self.ignored += 1
        return []

    def _now_ms(self) -> int:
        return self._clock.time_ns() // 1_000_000

    def _stream_seed(self) -> int:
        # A repeated subscribe gets others than the one before.
        self._streams_started += 1
        return self._options.seed * 1_000_003 + self._streams_started

    def _subscribe_market_data(self, rest: str) -> list[bytes]:
        target, _, text = rest.partition("+")
        instrument = self._market.instrument(target)
        if instrument is None:
            return self._ignore()
        fields = texts(parameters(text).get("fields"))
        now_s = self._clock.monotonic_s()
        expires_s = now_s + self._options.stream_lifetime_s
        stream = self.streams.get(target)
        if stream is not None and stream.expires_s > now_s:
            # Reported, not proven: a repeated subscribe adds fields. Documented: it renews the lifetime.
            stream.add_fields(fields)
            stream.expires_s = expires_s
            return stream.snapshots(self._now_ms()) if self._options.replies_to_renewals else []
        if stream is None and self._lines_in_use() >= self._options.market_data_lines:
            return self._ignore()
        stream = MarketDataStream(instrument, self._session.next_server_id(), fields, expires_s)
        self.streams[target] = stream
        self.revision += 1
        return stream.snapshots(self._now_ms())

    def _unsubscribe_market_data(self, rest: str) -> list[bytes]:
        return [] if self.end_stream(_first(rest)) else self._ignore()

    def _subscribe_history(self, rest: str) -> list[bytes]:
        target, _, text = rest.partition("+")
        if self._market.instrument(target) is None:
            return self._ignore()
        if len(self.histories) >= self._options.history_slots:
            # The limit is documented; the error text is not.
            return [system_frames.error("too many history requests", 500, f"smh+{target}")]
        given = parameters(text)
        instrument = self._market.with_history(target, given.get("exchange"))
        if instrument is None:
            return [system_frames.error("Chart data unavailable", 500, f"smh+{target}")]
        server_id = self._session.next_history_id()
        self.histories[server_id] = target
        return [history.history_frame(instrument.history(server_id, given, end_ms=self._now_ms()), target)]

    def _unsubscribe_history(self, rest: str) -> list[bytes]:
        server_id = _first(rest)
        if self.histories.pop(server_id, None) is None:
            return self._ignore()
        return [payload({"message": f"Unsubscribed {server_id}"})]

    def _subscribe_ladder(self, rest: str) -> list[bytes]:
        parts = [part for part in rest.split("+") if part != "{}"]
        if len(parts) not in (2, 3) or parts[0] not in self._options.accounts or not parts[1].isdigit():
            return self._ignore()
        # One ladder per account, because the unsubscribe names only the account.
        return self._start(f"sbd+{parts[0]}", LadderStream("+".join(parts), self._stream_seed()))

    def _subscribe_orders(self, rest: str) -> list[bytes]:
        if self._refuses_orders():
            return [system_frames.error("unable to subscribe", 500, "sor")]
        return self._start("sor", OrderStream(self._orders, parameters(rest)))

    def _subscribe_summary(self, rest: str) -> list[bytes]:
        account, _, text = rest.partition("+")
        if account not in self._options.accounts:
            return self._ignore()
        return self._start(f"ssd+{account}", SummaryStream(account, self._stream_seed(), parameters(text)))

    def _subscribe_ledger(self, rest: str) -> list[bytes]:
        account, _, text = rest.partition("+")
        if account not in self._options.accounts:
            return self._ignore()
        return self._start(f"sld+{account}", LedgerStream(account, self._stream_seed(), parameters(text)))

    def _start(self, name: str, stream: TopicStream) -> list[bytes]:
        self.topic_streams[name] = stream
        return stream.first(Moment(self._clock.monotonic_s(), self._now_ms()))

    def _end(self, name: str) -> list[bytes]:
        if self.topic_streams.pop(name, None) is None:
            return self._ignore()
        return []

    def _end_with_reply(self, channel: str, rest: str, result: str) -> list[bytes]:
        name = f"{channel}+{_first(rest)}"
        return [payload({"result": result})] if self.topic_streams.pop(name, None) is not None else self._ignore()


def channel_of(text: str) -> str:
    """The channel of a text, such as `smd` of `smd+265598+{}`."""
    return text.partition("+")[0]


def _first(rest: str) -> str:
    return rest.partition("+")[0]
