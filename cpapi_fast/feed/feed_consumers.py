"""The consumers of a feed: their names, their default bounds, and the default consumer that `async for` reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cpapi_fast.delivery.callback_consumer import CallbackConsumer
from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.dispatcher import Dispatcher
from cpapi_fast.delivery.overflow import OverflowPolicy
from cpapi_fast.errors import ConfigError

from .options import FeedOptions


class FeedConsumers:
    """The consumers that one feed has added to its dispatcher.

    Args:
        dispatcher: passes frames and events to them.
        options: `overload` and the default bounds.
        default_policy: the policy of the default consumer.
    """

    def __init__(
        self, dispatcher: Dispatcher, options: FeedOptions, default_policy: OverflowPolicy = "drop_oldest"
    ) -> None:
        self._default_policy: Final[OverflowPolicy] = default_policy
        self._dispatcher: Final = dispatcher
        self._options: Final = options
        self._default: Consumer | None = None
        self._is_default_read = False
        self._count = 0

    def start(self) -> None:
        """Add the default consumer if there is no other, so that it keeps what arrives before the first read."""
        if self._count == 0:
            self._default = self._add_default()

    def drop_unread(self) -> None:
        """Close the default consumer if nobody has read it yet."""
        self._close_unread_default()

    @property
    def default(self) -> Consumer:
        """The consumer that iterating over the feed reads; added at the first call if `start` did not."""
        if self._default is None:
            self._default = self._add_default()
        self._is_default_read = True
        return self._default

    def add(
        self,
        *,
        policy: OverflowPolicy,
        max_pending_frames: int | None = None,
        max_pending_bytes: int | None = None,
        name: str | None = None,
    ) -> Consumer:
        """Add a consumer with a queue; see `Feed.consumer`."""
        options = self._options
        if policy == "block" and options.overload != "block":
            raise ConfigError(
                "a consumer with the policy 'block' holds up all others and hides heartbeats while it does; allow it "
                "with FeedOptions(overload='block')"
            )
        consumer = self._dispatcher.add(
            name=self._next_name(name),
            policy=policy,
            max_pending_frames=options.max_pending_frames if max_pending_frames is None else max_pending_frames,
            max_pending_bytes=options.max_pending_bytes if max_pending_bytes is None else max_pending_bytes,
        )
        self._close_unread_default()
        return consumer

    def add_callback(
        self, callback: Callable[[Any], None], *, by_batch: bool = False, name: str | None = None
    ) -> CallbackConsumer:
        """Add a callback; see `Feed.on_item` and `Feed.on_batch`."""
        consumer = self._dispatcher.add_callback(name=self._next_name(name), callback=callback, by_batch=by_batch)
        self._close_unread_default()
        return consumer

    def _add_default(self) -> Consumer:
        return self.add(policy=self._default_policy, name="feed")

    def _next_name(self, name: str | None) -> str:
        self._count += 1
        return f"consumer {self._count}" if name is None else name

    def _close_unread_default(self) -> None:
        # The program reads other consumers. The default one would only keep frames that are never read.
        if self._default is not None and not self._is_default_read:
            self._default.close()
            self._default = None
