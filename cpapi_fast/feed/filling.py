"""History for the gaps of a feed, when its options ask for it; when they do not, nothing in here does anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cpapi_fast.events import Backfill, FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.history import History
from cpapi_fast.rest.client import Client

from .backfill import Backfiller
from .options import FeedOptions

_TAKES_SUBSCRIBES: Final = (FeedState.AUTHENTICATED, FeedState.STREAMING)


class Filling:
    """Between a feed's driver and its `Backfiller`.

    Args:
        client: asks over REST.
        options: `backfill` and `backfill_timeout_s`.
        send: sends a text on the socket there is; does not raise.
        emit: puts a `Backfill` into the stream.
    """

    def __init__(
        self, client: Client, options: FeedOptions, *, send: Callable[[str], None], emit: Callable[[Backfill], None]
    ) -> None:
        self._client: Final = client
        self._backfiller: Final = (
            Backfiller(
                options.backfill,
                clock=client.clock,
                send=send,
                request=self._ask,
                on_backfill=emit,
                timeout_s=options.backfill_timeout_s,
            )
            if options.backfill is not None
            else None
        )

    def on_event(self, event: FeedEvent) -> None:
        """The feed told something: a gap to fill, or whether the gateway takes subscribes."""
        if self._backfiller is None:
            return
        if isinstance(event, Gap):
            self._backfiller.on_gap(event)
        elif isinstance(event, StateChange) and event.subscription is None:
            if event.state in _TAKES_SUBSCRIBES:
                self._backfiller.on_connection_ready()
            else:
                self._backfiller.on_connection_busy()

    def takes(self, frame: Frame) -> bool:
        """Whether a frame of no subscription may be an answer to what was asked here."""
        return self._backfiller is not None and frame.channel == "smh"

    def on_frame(self, frame: Frame) -> None:
        """Such a frame."""
        if self._backfiller is not None:
            self._backfiller.on_frame(frame)

    def on_connection_lost(self) -> None:
        """The socket ended, or was given up."""
        if self._backfiller is not None:
            self._backfiller.on_connection_lost()

    def close(self) -> None:
        """End it; what waits is told as failed."""
        if self._backfiller is not None:
            self._backfiller.close()

    async def wait_closed(self) -> None:
        """Wait until nothing of it is under way."""
        if self._backfiller is not None:
            await self._backfiller.wait_closed()

    async def _ask(self, conid: int, exchange: str | None, period: str, bar: str) -> History:
        return await self._client.history(conid, period=period, bar=bar, exchange=exchange, outside_rth=True)
