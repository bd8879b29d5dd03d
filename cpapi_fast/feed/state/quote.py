"""Quote: the merged state of one market data subscription, with the age of each field"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.messages.market_data import MarketDataMessage
from cpapi_fast.protocol.fields import field_code
from cpapi_fast.redaction import redact_accounts

from .quote_values import quote_values

if TYPE_CHECKING:
    from cpapi_fast.feed.last_values import LastValues

#: `received_ns` and the time of the update, of one field.
_TIMES: Final = Struct("=qd")

#: Attributes that are no members, and the member behind each.
_DERIVED: Final = {
    "availability": "market_data_availability",
    "is_halted": "last_price",
    "is_prior_close": "last_price",
}


class Quote(MarketDataMessage):
    """The merged quote of one market data subscription at one moment: every field, with its age.

    It has the attributes of a `MarketDataMessage`, such as `bid_price`, `availability`, `is_halted` and
    `is_prior_close`. They convert on access, and are None for fields without a value, also for those that did not
    arrive yet or are malformed; `problems` lists the latter. A field that a frame does not contain keeps its value. A
    field that is null in a frame has no value from then on.

    A quote does not change; call `Feed.quote` again for the current one. A current quote never has values of before and
    after a gap at once: the values of before stay, with `is_current` False, until the first frame after the gap, and
    only those that arrived since are in it afterwards. A quote that is not current may have values of frames that have
    arrived and are not delivered yet.

    Attributes:
        raw: the fields by key on the wire, as decoded.
        is_current: whether the subscription streamed at the time of the quote. False before the first frame, while the
            subscription is stale, and while the feed has no connection.
    """

    __slots__ = ("_now_s", "_times", "_updated_s", "is_current")

    def __init__(
        self, raw: dict[str, Any], received_ns: int, times: bytes, updated_s: float, now_s: float, *, is_current: bool
    ) -> None:
        super().__init__(raw, received_ns)
        self._times = times
        self._updated_s = updated_s
        self._now_s = now_s
        self.is_current: Final = is_current

    def age_s(self, name: str | int | None = None) -> float | None:
        """Return the time since a field was received, in seconds of the feed's clock, at the time of the quote.

        Setting the system time does not affect it.

        Args:
            name: attribute, key or code of the field, such as `bid_price` or `84`; None for the last frame.

        Returns:
            The age; None for a field that the quote does not have, and for a quote without a frame.

        Raises:
            SubscriptionError: there is no such field.
        """
        if name is None:
            return self._now_s - self._updated_s if self._times else None
        times = self._times_of(name)
        return None if times is None else self._now_s - times[1]

    def received_ns_of(self, name: str | int) -> int | None:
        """Return the receive time of the frame that contained a field, in ns since the Unix epoch.

        None for a field that the quote does not have. `received_ns` is the receive time of the last frame.

        Raises:
            SubscriptionError: there is no such field.
        """
        times = self._times_of(name)
        return None if times is None else times[0]

    def _code_of(self, name: str | int) -> str:
        if isinstance(name, str):
            if name in self.raw:
                return name
            member = MarketDataMessage.members().get(_DERIVED.get(name, name))
            if member is not None:
                return member.key
        return field_code(name)

    def not_current(self) -> Quote:
        """The same quote with `is_current` False."""
        return Quote(self.raw, self.received_ns, self._times, self._updated_s, self._now_s, is_current=False)

    def _times_of(self, name: str | int) -> tuple[int, float] | None:
        raw = self.raw
        code = self._code_of(name)
        # The topic is the last member, and has no times.
        if code not in raw or code == "topic":
            return None
        received_ns, updated_s = _TIMES.unpack_from(self._times, _TIMES.size * list(raw).index(code))
        return received_ns, updated_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.raw, self.received_ns, self._times, self._updated_s, self._now_s, self.is_current)

    def __repr__(self) -> str:
        shown = "".join(f", {name} {getattr(self, name)}" for name in ("last_price", "bid_price", "ask_price"))
        topic = redact_accounts(str(self.topic)).removeprefix("smd+")
        return f"<Quote {topic}{shown}{'' if self.is_current else ', not current'}>"


def _rebuilt(
    raw: dict[str, Any], received_ns: int, times: bytes, updated_s: float, now_s: float, is_current: bool
) -> Quote:
    return Quote(raw, received_ns, times, updated_s, now_s, is_current=is_current)


def read_quote(
    values: LastValues, slot: int, topic: str, *, since_s: float, clock: Callable[[], float], is_current: bool
) -> Quote:
    """Read a quote from the last values.

    Args:
        values: has the values.
        slot: the slot of the topic.
        topic: the topic.
        since_s: the time of the first frame after the last gap, in seconds of the feed's clock. Values that are older
            are left out.
        clock: returns the time of the same clock.
        is_current: whether the subscription streams now.
    """
    raw, times, received_ns, updated_s = quote_values(values, slot, since_s)
    raw["topic"] = topic
    # The clock is read after the values: in another thread, a frame may arrive in between, and no age is negative.
    return Quote(raw, received_ns, times, updated_s, clock(), is_current=is_current)
