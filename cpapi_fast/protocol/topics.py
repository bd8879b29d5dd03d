"""What is sent: the exact text of subscribes and unsubscribes, and the handle that takes one back."""

from __future__ import annotations

import operator
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, SupportsIndex, overload

from cpapi_fast.errors import SubscriptionError, TransportError
from cpapi_fast.redaction import shown

from .fields import DEFAULT_FIELDS, FIELDS, field_code
from .history import HistorySource, bar_length_s, check_period, rest_source

#: How often to say `tic` on the socket and `/tickle` over REST, as Interactive Brokers recommends, in seconds.
KEEPALIVE_INTERVAL_S: Final = 60.0

#: The text that keeps a socket alive. The gateway answers with a frame of topic `tic`.
TIC_TEXT: Final = "tic"

#: `conids` of a batch are int64, and so is every number that the gateway gives.
_MAX_CONID: Final = 2**63 - 1

_EXCHANGE: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,31}")
_FIELD_CODE: Final = re.compile(r"[0-9]{1,19}")
_SERVER_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class MarketDataFields(Sequence[str]):
    """Which fields a market data subscription asks for: codes, in order, each once.

    Immutable and hashable; a sequence of the codes as text. See `cpapi_fast.FIELDS` for what the codes mean.

    Args:
        codes: field codes as text or int. A number that the catalogue does not know passes, since the list grows;
            repeated codes count once, at their first place.

    Raises:
        SubscriptionError: a code is not made of ASCII digits, or there is none at all.
    """

    __slots__ = ("_codes",)

    def __init__(self, codes: Iterable[str | int]) -> None:
        # A single text or bytes is iterable too, and would silently ask for its characters.
        if isinstance(codes, (str, bytes, bytearray, memoryview)) or not isinstance(codes, Iterable):
            raise SubscriptionError(f"field codes must be a list such as ['31', '84'], not {shown(codes)}")
        self._codes: tuple[str, ...] = tuple(dict.fromkeys(_field_code_text(code) for code in codes))
        if not self._codes:
            raise SubscriptionError("a market data subscription needs at least one field code, such as '31'")

    @classmethod
    def default_l1(cls) -> MarketDataFields:
        """Last, bid, ask, ask size, bid size and volume: 31, 84, 86, 85, 88, 87, in this order."""
        return _DEFAULT_L1

    @classmethod
    def from_codes(cls, codes: Iterable[str | int]) -> MarketDataFields:
        """The fields with these codes; the same as calling the class."""
        return cls(codes)

    def as_slice(self) -> tuple[str, ...]:
        """The codes as a tuple of text."""
        return self._codes

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._codes[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._codes)

    def __eq__(self, other: object) -> bool:
        return self._codes == other._codes if isinstance(other, MarketDataFields) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._codes)

    def __repr__(self) -> str:
        return f"MarketDataFields({list(self._codes)})"


def _field_code_text(code: object) -> str:
    text = code if isinstance(code, str) else ""
    if not isinstance(code, (bool, str)) and hasattr(type(code), "__index__"):
        number = operator.index(code)  # type: ignore[arg-type]
        # Python refuses to write out an int of thousands of digits, so such a one is never made into text.
        text = str(number) if 0 <= number <= _MAX_CONID else ""
    if _FIELD_CODE.fullmatch(text) is None:
        hint = f"; the code of {text} is '{field_code(text)}'" if text in _NAMES else ""
        raise SubscriptionError(f"a field code is up to 19 digits such as '31', not {shown(code)}{hint}")
    return text


_NAMES: Final = frozenset(field.key for field in FIELDS.values())

_DEFAULT_L1: Final = MarketDataFields(DEFAULT_FIELDS)


def market_data_target(conid: SupportsIndex, exchange: str | None = None) -> str:
    """What stands between the plus signs: `265598`, or `265598@NYSE` for the data of one exchange.

    Raises:
        SubscriptionError: the conid is not a whole number from 0 to 2**63 - 1 (text and bool are refused too), or the
            exchange is not the name of one.
    """
    if isinstance(conid, bool) or not hasattr(type(conid), "__index__"):
        raise SubscriptionError(f"a conid is a whole number such as 265598, not {shown(conid)}")
    number = operator.index(conid)
    if not 0 <= number <= _MAX_CONID:
        raise SubscriptionError("a conid is a whole number from 0 to 2**63 - 1, such as 265598")
    if exchange is None:
        return str(number)
    if not isinstance(exchange, str) or _EXCHANGE.fullmatch(exchange) is None:
        raise SubscriptionError(
            f"an exchange is a name in capitals such as 'NYSE' (letters, digits, dot, dash), not {shown(exchange)}"
        )
    return f"{number}@{exchange}"


def market_data_subscribe_text(
    conid: SupportsIndex, fields: MarketDataFields | None = None, *, exchange: str | None = None
) -> str:
    """`smd+265598+{"fields":["31","84"]}`; without fields, those of `MarketDataFields.default_l1()`.

    Raises:
        SubscriptionError: see `market_data_target`; or `fields` is something else than MarketDataFields.
    """
    return _market_data_subscribe_text(market_data_target(conid, exchange), fields)


def market_data_unsubscribe_text(conid: SupportsIndex, *, exchange: str | None = None) -> str:
    """`umd+265598+{}`. The gateway does not acknowledge it, and frames already on their way still arrive.

    Raises:
        SubscriptionError: see `market_data_target`.
    """
    return f"umd+{market_data_target(conid, exchange)}+{{}}"


def _market_data_subscribe_text(target: str, fields: MarketDataFields | None) -> str:
    if fields is None:
        fields = _DEFAULT_L1
    elif not isinstance(fields, MarketDataFields):
        raise SubscriptionError(f"give the fields as MarketDataFields.from_codes([...]), not {type(fields).__name__}")
    # The codes are digits, so nothing needs escaping.
    codes = ",".join(f'"{code}"' for code in fields)
    return f'smd+{target}+{{"fields":[{codes}]}}'


def history_subscribe_text(
    conid: SupportsIndex,
    *,
    period: str,
    bar: str,
    exchange: str | None = None,
    outside_rth: bool = False,
    source: HistorySource = "trades",
) -> str:
    """`smh+265598+{"period":"2h","bar":"5min","outsideRth":false,"source":"trades","format":"%o/%c/%h/%l/%v"}`.

    It is answered once, by a frame of topic `smh+265598`; `History.parse` reads it. The gateway has five places for
    these, and a finished one keeps its place until `history_unsubscribe_text` of its `server_id` is sent.

    Raises:
        SubscriptionError: the gateway knows no such conid, exchange, period, bar or source.
    """
    market_data_target(conid, exchange)
    rest_source(source)
    bar_length_s(bar)
    where = "" if exchange is None else f'"exchange":"{exchange}",'
    when = f'"period":"{check_period(period)}","bar":"{bar}","outsideRth":{"true" if outside_rth else "false"}'
    return f'smh+{operator.index(conid)}+{{{where}{when},"source":"{source}","format":"%o/%c/%h/%l/%v"}}'


def history_unsubscribe_text(server_id: str) -> str:
    """`umh+<serverId>`, which gives the place of an `smh` back.

    Raises:
        SubscriptionError: this is no id that could be sent.
    """
    if not isinstance(server_id, str) or _SERVER_ID.fullmatch(server_id) is None:
        raise SubscriptionError(f"a serverId is made of letters and digits such as '340001', not {shown(server_id)}")
    return f"umh+{server_id}"


class Subscription:
    """One subscription as it was sent, and the way to take it back.

    Attributes:
        name: for people and logs: `market_data:265598`, `market_data:265598@NYSE`, `orders`, `pnl`.
        topic: the topic of the frames that answer it, which is its identity on the wire: `smd+265598`, `sor`, `spl`.
        payload: the text that subscribes.
        cancel_payload: the text that unsubscribes.
    """

    __slots__ = ("_is_cancelled", "_send", "cancel_payload", "name", "payload", "topic")

    def __init__(
        self,
        *,
        name: str,
        topic: str,
        payload: str,
        cancel_payload: str,
        send: Callable[[str], Awaitable[None]],
    ) -> None:
        self.name: Final = name
        self.topic: Final = topic
        self.payload: Final = payload
        self.cancel_payload: Final = cancel_payload
        self._send: Final = send
        self._is_cancelled = False

    @classmethod
    def market_data(
        cls,
        send: Callable[[str], Awaitable[None]],
        conid: SupportsIndex,
        fields: MarketDataFields | None = None,
        *,
        exchange: str | None = None,
    ) -> Subscription:
        """The handle of a market data subscription; sending its `payload` is up to the caller.

        Raises:
            SubscriptionError: see `market_data_subscribe_text`.
        """
        target = market_data_target(conid, exchange)
        return cls(
            name=f"market_data:{target}",
            topic=f"smd+{target}",
            payload=_market_data_subscribe_text(target, fields),
            cancel_payload=f"umd+{target}+{{}}",
            send=send,
        )

    @classmethod
    def orders(cls, send: Callable[[str], Awaitable[None]]) -> Subscription:
        """The handle of the live orders; sending its `payload` is up to the caller."""
        return cls(name="orders", topic="sor", payload="sor+{}", cancel_payload="uor+{}", send=send)

    @classmethod
    def pnl(cls, send: Callable[[str], Awaitable[None]]) -> Subscription:
        """The handle of the profit and loss; sending its `payload` is up to the caller."""
        return cls(name="pnl", topic="spl", payload="spl+{}", cancel_payload="upl+{}", send=send)

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called and did not fail."""
        return self._is_cancelled

    async def cancel(self) -> None:
        """Unsubscribe. Again, or after the connection ended, it does nothing.

        No subscription outlives its connection, so on one that has ended there is nothing left to cancel: the
        TransportError of the send is not passed on. Any other error is, and `cancel` can then be called again.
        """
        if self._is_cancelled:
            return
        # Set before the await, so that a second task that cancels meanwhile sends nothing.
        self._is_cancelled = True
        try:
            await self._send(self.cancel_payload)
        except TransportError:
            return
        except BaseException:
            self._is_cancelled = False
            raise

    def __repr__(self) -> str:
        return f"Subscription({self.name!r}{', cancelled' if self._is_cancelled else ''})"
