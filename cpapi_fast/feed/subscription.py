"""FeedSubscription: the handle of one subscription of a feed, and the checks before a subscribe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from numbers import Real
from typing import Final

from cpapi_fast.errors import ConfigError, SubscriptionError
from cpapi_fast.option_values import check_positive
from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.protocol.topics import Subscription
from cpapi_fast.redaction import redact_accounts

from .machine import SubscriptionSpec
from .status import SubscriptionStatus


class FeedSubscription:
    """A subscription of a feed; it persists across reconnects until it is cancelled.

    Attributes:
        name: the name in logs: `market_data:265598`, `orders`, `pnl`; otherwise the topic.
        topic: the topic of its frames: `smd+265598`, `sor`.
    """

    __slots__ = ("_status_of", "_unsubscribe", "name", "topic")

    def __init__(
        self,
        name: str,
        topic: str,
        status_of: Callable[[str], SubscriptionStatus | None],
        unsubscribe: Callable[[str], Awaitable[None]],
    ) -> None:
        self.name: Final = name
        self.topic: Final = topic
        self._status_of = status_of
        self._unsubscribe = unsubscribe

    @property
    def status(self) -> SubscriptionStatus | None:
        """The current status; None after the subscription was cancelled."""
        return self._status_of(self.topic)

    async def cancel(self) -> None:
        """Unsubscribe. Idempotent."""
        await self._unsubscribe(self.topic)

    def __repr__(self) -> str:
        status = self.status
        # The topics of an account's ledger and summary contain its number.
        return f"FeedSubscription({redact_accounts(self.name)!r}, {status.state.value if status else 'cancelled'})"


def check_texts(*texts: str) -> None:
    """Check texts that are sent unchanged.

    Raises:
        SubscriptionError: one of them is empty, or cannot be encoded as UTF-8.
    """
    for text in texts:
        try:
            is_text = isinstance(text, str) and bool(text.encode())
        except UnicodeEncodeError:
            is_text = False
        if not is_text:
            raise SubscriptionError("topic, payload and cancel_payload must be texts, not empty, in valid UTF-8")


def spec_of(
    texts: Subscription,
    *,
    needs_brokerage: bool = True,
    is_market_data: bool = False,
    usual_interval_s: float | None = None,
    hours: TradingHours | None = None,
) -> SubscriptionSpec:
    """The parameters of a subscription for the state machine.

    Raises:
        ConfigError: `usual_interval_s` is not above zero, or `hours` is not TradingHours.
    """
    if usual_interval_s is not None:
        # Other numbers such as a Fraction become floats below.
        is_number = isinstance(usual_interval_s, Real) and not isinstance(usual_interval_s, bool)
        check_positive("usual_interval_s", float(usual_interval_s) if is_number else usual_interval_s)
    if hours is not None and not isinstance(hours, TradingHours):
        raise ConfigError(f"hours must be TradingHours, not {type(hours).__name__}")
    return SubscriptionSpec(
        texts.topic,
        texts.payload,
        texts.cancel_payload,
        needs_brokerage=needs_brokerage,
        is_market_data=is_market_data,
        usual_interval_s=None if usual_interval_s is None else float(usual_interval_s),
        hours=hours,
    )


async def send_nothing(_text: str) -> None:
    """Do nothing. A `Subscription` needs a function that sends, but in a feed the state machine sends the texts."""
