"""Messages of history (`smh`) and of the price ladder (`sbd`)"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cpapi_fast.protocol.availability import Availability
from cpapi_fast.protocol.numbers import parse_number

from .member import JsonObject, Message, TextMember
from .member_types import FlagMember, FunctionMember, IdMember, IntegerMember, NumberMember, RowsMember

#: Bars have times in seconds or in milliseconds. A smaller number is in seconds: in milliseconds it would be a time
#: before 1974.
_LEAST_EPOCH_MS: Final = 10**11
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _bar_time(value: Any) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("the value is not an integer")
    try:
        return _EPOCH + (timedelta(seconds=value) if value < _LEAST_EPOCH_MS else timedelta(milliseconds=value))
    except OverflowError as error:
        raise ValueError("the value is not a time") from error


def _split_price(value: Any) -> tuple[float, float | None]:
    # A price, or size and price: `100 @ 187.05`.
    size: float | None = None
    text = value
    if isinstance(value, str) and " @ " in value:
        before, _, text = value.partition(" @ ")
        size = parse_number(before)
        if size is None:
            raise ValueError("the size is not a number")
    price = parse_number(text)
    if price is None:
        raise ValueError("the price is not a number")
    return price, size


def _price(value: Any) -> float | None:
    return None if value in ("", "-", "N/A") else _split_price(value)[0]


def _size(value: Any) -> float | None:
    return None if value in ("", "-", "N/A") else _split_price(value)[1]


class HistoryBar(JsonObject):
    """One bar of history."""

    __slots__ = ()

    open = NumberMember("o", "the first price")
    high = NumberMember("h", "the highest price")
    low = NumberMember("l", "the lowest price")
    close = NumberMember("c", "the last price")
    volume = NumberMember("v", "the volume, to be multiplied with the volume factor")
    start = FunctionMember("t", _bar_time, "the start of the bar")
    start_epoch = IntegerMember("t", "the same as on the wire: seconds or milliseconds since the Unix epoch")


class HistoryMessage(Message):
    """Bars of history (`smh`)."""

    __slots__ = ()

    server_id = IdMember("serverId", "the id of the request, for the unsubscribe")
    symbol = TextMember("symbol", "the ticker symbol")
    text = TextMember("text", "the name of the company")
    price_factor = NumberMember("priceFactor", "the factor of the prices in `high` and `low`")
    volume_factor = NumberMember("volumeFactor", "the factor of the volumes")
    start_time_text = TextMember("startTime", "the start, such as `20210317-18:00:00`; IB documents no time zone")
    high = TextMember("high", "the highest price times the factor, its volume, and that outside of trading hours")
    low = TextMember("low", "the same for the lowest price")
    time_period = TextMember("timePeriod", "the period, such as `7200s`")
    bar_length_s = NumberMember("barLength", "the length of a bar in seconds")
    md_availability = TextMember("mdAvailability", "the availability, such as `S`")
    mkt_data_delay = NumberMember("mktDataDelay", "the delay of the data")
    outside_rth = FlagMember("outsideRth", "whether the bars include trades outside of regular trading hours")
    price_display_rule = IntegerMember("priceDisplayRule", "how to display prices")
    price_display_value = TextMember("priceDisplayValue", "how to display prices")
    negative_capable = FlagMember("negativeCapable", "whether prices can be negative")
    message_version = IntegerMember("messageVersion", "the version of the format")
    bars = RowsMember("data", HistoryBar, "the bars")
    points = IntegerMember("points", "the number of bars, as the gateway counts them")

    @property
    def availability(self) -> Availability | None:
        """The parsed availability; None without one."""
        letters = self.md_availability
        return Availability.parse(letters) if letters else None


class DepthRow(JsonObject):
    """One row of the price ladder."""

    __slots__ = ()

    row = IntegerMember("row", "the number of the row")
    focus = FlagMember("focus", "whether it is the row of the last trade")
    price = FunctionMember("price", _price, "the price; the text may have a size before it: `100 @ 187.05`")
    price_size = FunctionMember("price", _size, "the size before the price, if there is one")
    bid = NumberMember("bid", "the size of the bids at this price")
    ask = NumberMember("ask", "the size of the asks at this price")


class DepthMessage(Message):
    """Rows of the price ladder (`sbd`)."""

    __slots__ = ()

    rows = RowsMember("data", DepthRow, "the rows")
