"""Builds the texts of subscribes and unsubscribes, and the handle of a subscription."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, SupportsIndex, overload

from cpapi_fast.errors import SubscriptionError, TransportError
from cpapi_fast.redaction import redact_accounts, shown

from .fields import DEFAULT_FIELDS, field_code
from .history import HistorySource, bar_length_s, check_period, rest_source
from .instruments import conid_target, market_data_target

#: The interval that Interactive Brokers recommends for `tic` on the socket and `/tickle` over REST, in seconds.
KEEPALIVE_INTERVAL_S: Final = 60.0

#: The keepalive text of a socket. The gateway replies with a frame of topic `tic`.
TIC_TEXT: Final = "tic"

_SERVER_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


_ACCOUNT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

#: Executions of more days are not served.
_MAX_DAYS: Final = 7


def _texts_of(name: str, texts: Iterable[str]) -> list[str]:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise SubscriptionError(f"{name} must be a list of texts, not {shown(texts)}")
    found = list(texts)
    if not all(isinstance(text, str) and text for text in found):
        raise SubscriptionError(f"{name} must be texts, and none of them empty")
    return found


class MarketDataFields(Sequence[str]):
    """The fields of a market data subscription: an immutable, hashable sequence of codes as str.

    `cpapi_fast.FIELDS` describes the fields.

    Args:
        fields: keys such as `last_price`, and codes such as `31` as str or int. Codes that the catalogue does not
            contain are allowed; repeated fields count once, at their first position.

    Raises:
        SubscriptionError: no field has such a key, a code does not consist of ASCII digits, or there is no field.
    """

    __slots__ = ("_codes",)

    def __init__(self, fields: Iterable[str | int]) -> None:
        # A single str or bytes is iterable too, and each character would become a code.
        if isinstance(fields, (str, bytes, bytearray, memoryview)) or not isinstance(fields, Iterable):
            raise SubscriptionError(f"fields must be a list such as ['last_price', '84'], not {shown(fields)}")
        self._codes: tuple[str, ...] = tuple(dict.fromkeys(field_code(field) for field in fields))
        if not self._codes:
            raise SubscriptionError("a market data subscription needs at least one field, such as 'last_price'")

    @classmethod
    def default_l1(cls) -> MarketDataFields:
        """Return the default fields: last, bid, ask, ask size, bid size and volume (31, 84, 86, 85, 88, 87)."""
        return _DEFAULT_L1

    @classmethod
    def from_codes(cls, codes: Iterable[str | int]) -> MarketDataFields:
        """Return the fields with these codes or keys. Equivalent to `MarketDataFields(codes)`."""
        return cls(codes)

    def as_slice(self) -> tuple[str, ...]:
        """Return the codes as a tuple of str."""
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


#: The fields of a subscription, as functions take them.
Fields = MarketDataFields | Iterable[str | int]

_DEFAULT_L1: Final = MarketDataFields(DEFAULT_FIELDS)


def market_data_subscribe_text(
    conid: SupportsIndex | str, fields: Fields | None = None, *, exchange: str | None = None
) -> str:
    """Return the text that subscribes to market data: `smd+265598+{"fields":["31","84"]}`.

    Args:
        conid: IB's contract id, or a text such as `265598@NYSE`; see `market_data_target`.
        fields: their keys or codes, such as `["last_price", "84"]`; `MarketDataFields.default_l1()` by default.
        exchange: restricts the data to one exchange, such as `NYSE`.

    Raises:
        SubscriptionError: see `market_data_target`; see `MarketDataFields`.
    """
    return _market_data_subscribe_text(market_data_target(conid, exchange), fields)


def market_data_unsubscribe_text(conid: SupportsIndex | str, *, exchange: str | None = None) -> str:
    """Return the text that ends a market data subscription: `umd+265598+{}`.

    The gateway does not confirm it, and frames in transit still arrive.

    Raises:
        SubscriptionError: see `market_data_target`.
    """
    return f"umd+{market_data_target(conid, exchange)}+{{}}"


def _market_data_subscribe_text(target: str, fields: Fields | None) -> str:
    if fields is None:
        fields = _DEFAULT_L1
    elif not isinstance(fields, MarketDataFields):
        fields = MarketDataFields(fields)
    # The codes are digits, which need no escaping.
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
    """Return the text that requests bars of history on the socket: `smh+265598+{"period":"2h","bar":"5min",...}`.

    The gateway replies with one frame of topic `smh+265598`, which `History.parse` parses. The gateway allows five
    requests at a time. Each of them counts until `history_unsubscribe_text(server_id)` is sent.

    Args:
        conid: IB's contract id.
        period: the length of the history, such as `2h`; see `Client.history`.
        bar: the length of each bar, such as `5min`; see `Client.history`.
        exchange: restricts the data to one exchange.
        outside_rth: whether to include bars outside the regular trading hours.
        source: what the bars are made of.

    Raises:
        SubscriptionError: the conid, exchange, period, bar or source is invalid.
    """
    conid_target(conid, exchange)
    rest_source(source)
    bar_length_s(bar)
    where = "" if exchange is None else f'"exchange":"{exchange}",'
    when = f'"period":"{check_period(period)}","bar":"{bar}","outsideRth":{"true" if outside_rth else "false"}'
    return f'smh+{operator.index(conid)}+{{{where}{when},"source":"{source}","format":"%o/%c/%h/%l/%v"}}'


def history_unsubscribe_text(server_id: str) -> str:
    """Return the text that ends a history request and frees its slot: `umh+<server_id>`.

    Raises:
        SubscriptionError: the id is invalid.
    """
    if not isinstance(server_id, str) or _SERVER_ID.fullmatch(server_id) is None:
        raise SubscriptionError(f"a serverId must be letters and digits such as '340001', not {shown(server_id)}")
    return f"umh+{server_id}"


def check_account(account: object) -> None:
    """Check that a text can be an account in a topic.

    Raises:
        SubscriptionError: it cannot. The message does not show it.
    """
    if not isinstance(account, str) or _ACCOUNT.fullmatch(account) is None:
        raise SubscriptionError(
            "an account must be a text of letters, digits, dots and dashes, such as U and seven digits"
        )


def requested_codes(text: str) -> list[str]:
    """Return the field codes in the text of a market data subscribe; empty if it has none."""
    _, brace, rest = text.partition("{")
    try:
        body = json.loads(brace + rest)
    except ValueError:
        return []
    codes = body.get("fields") if isinstance(body, dict) else None
    return [code for code in codes if isinstance(code, str)] if isinstance(codes, list) else []


class Subscription:
    """The handle of a subscription.

    Attributes:
        name: the name in logs and messages: `market_data:265598`, `market_data:265598@NYSE`, `orders`, `pnl`.
        topic: the topic of its frames: `smd+265598`, `sor`, `spl`.
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
        conid: SupportsIndex | str,
        fields: Fields | None = None,
        *,
        exchange: str | None = None,
    ) -> Subscription:
        """Create the handle of a market data subscription. The caller sends its `payload`.

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
        """Create the handle of the order updates. The caller sends its `payload`."""
        return cls(name="orders", topic="sor", payload="sor+{}", cancel_payload="uor+{}", send=send)

    @classmethod
    def pnl(cls, send: Callable[[str], Awaitable[None]]) -> Subscription:
        """Create the handle of profit and loss. The caller sends its `payload`."""
        return cls(name="pnl", topic="spl", payload="spl+{}", cancel_payload="upl+{}", send=send)

    @classmethod
    def executions(
        cls, send: Callable[[str], Awaitable[None]], *, days: int = 1, realtime_only: bool = False
    ) -> Subscription:
        """Create the handle of the executions. The caller sends its `payload`.

        Args:
            send: sends a text.
            days: of how many days the gateway first sends the executions, from 1 to 7.
            realtime_only: send no earlier executions.

        Raises:
            SubscriptionError: `days` is not a whole number from 1 to 7, or `realtime_only` is not a bool.
        """
        if type(days) is not int or not 1 <= days <= _MAX_DAYS:
            raise SubscriptionError(f"days must be a whole number from 1 to {_MAX_DAYS}, not {shown(days)}")
        if type(realtime_only) is not bool:
            raise SubscriptionError(f"realtime_only must be True or False, not {shown(realtime_only)}")
        parameters = json.dumps({"realtimeUpdatesOnly": realtime_only, "days": days}, separators=(",", ":"))
        return cls(name="executions", topic="str", payload=f"str+{parameters}", cancel_payload="utr", send=send)

    @classmethod
    def account_summary(
        cls,
        send: Callable[[str], Awaitable[None]],
        account: str,
        *,
        keys: Iterable[str] = (),
        fields: Iterable[str] = (),
    ) -> Subscription:
        """Create the handle of the summary of an account. The caller sends its `payload`.

        Args:
            send: sends a text.
            account: the account, such as `DU1234567`.
            keys: which values, such as `AccruedCash-S`; all of them by default.
            fields: which members of them, such as `monetaryValue`; all of them by default.

        Raises:
            SubscriptionError: `account` cannot be part of a topic, or `keys` or `fields` are not texts.
        """
        return cls._account("summary", "ssd", "usd", send, account, keys, fields)

    @classmethod
    def ledger(
        cls,
        send: Callable[[str], Awaitable[None]],
        account: str,
        *,
        keys: Iterable[str] = (),
        fields: Iterable[str] = (),
    ) -> Subscription:
        """Create the handle of the balances of an account by currency. The caller sends its `payload`.

        Args:
            send: sends a text.
            account: the account, such as `DU1234567`.
            keys: which balances, such as `LedgerListUSD`; all of them by default.
            fields: which members of them, such as `cashBalance`; all of them by default.

        Raises:
            SubscriptionError: see `account_summary`.
        """
        return cls._account("ledger", "sld", "uld", send, account, keys, fields)

    @classmethod
    def _account(
        cls,
        name: str,
        channel: str,
        cancel_channel: str,
        send: Callable[[str], Awaitable[None]],
        account: str,
        keys: Iterable[str],
        fields: Iterable[str],
    ) -> Subscription:
        check_account(account)
        wanted = {"keys": _texts_of("keys", keys), "fields": _texts_of("fields", fields)}
        parameters = json.dumps({key: texts for key, texts in wanted.items() if texts}, separators=(",", ":"))
        topic = f"{channel}+{account}"
        return cls(
            name=f"{name}:{topic}",
            topic=topic,
            payload=f"{topic}+{parameters}",
            cancel_payload=f"{cancel_channel}+{account}+{{}}",
            send=send,
        )

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` succeeded or is in progress."""
        return self._is_cancelled

    async def cancel(self) -> None:
        """Unsubscribe. Idempotent.

        A subscription ends with its connection, so `cancel` does nothing after the connection has ended. If the send
        fails with an exception other than TransportError, `cancel` raises that exception and can be called again.
        """
        if self._is_cancelled:
            return
        # Set before the await, so that a concurrent second call sends nothing.
        self._is_cancelled = True
        try:
            await self._send(self.cancel_payload)
        except TransportError:
            return
        except BaseException:
            self._is_cancelled = False
            raise

    def __repr__(self) -> str:
        name = redact_accounts(self.name)
        return f"Subscription({name!r}{', cancelled' if self._is_cancelled else ''})"
