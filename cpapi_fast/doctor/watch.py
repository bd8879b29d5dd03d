"""Everything that one socket has said, taken down as it comes; and waiting until something was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.fields import DEFAULT_FIELDS

#: Fields that hold a price: last, bid, ask.
PRICES: Final = DEFAULT_FIELDS[:3]


class Watch:
    """Takes down what frames say, for `WsClient.on_batch`.

    Args:
        clock: the clock of the times below.
        topic: the market data to look at.

    Attributes:
        frames: how many frames came.
        is_ready: `system` with `success` came.
        is_waiting_for_session: the gateway said that it waits for one.
        sts: the `sts` objects, merged; None before the first.
        heartbeats: per `hb`, by how many seconds our clock was ahead of it.
        quote: the fields of `topic`, merged; None before its first frame.
        quotes: how many frames of `topic` came.
        errors: error frames, decoded.
    """

    def __init__(self, clock: Clock, topic: str) -> None:
        self.frames = 0
        self.is_ready = False
        self.is_waiting_for_session = False
        self.sts: dict[str, Any] | None = None
        self.heartbeats: Final[list[float]] = []
        self.quote: dict[str, Any] | None = None
        self.quotes = 0
        self.errors: Final[list[dict[str, Any]]] = []
        self._clock: Final = clock
        self._topic: Final = topic
        self._changed: asyncio.Event | None = None

    @property
    def has_price(self) -> bool:
        """Whether a price of the instrument was told, be it an old one."""
        return self.quote is not None and any(_is_price(self.quote.get(code)) for code in PRICES)

    @property
    def is_unknown(self) -> bool:
        """Whether the gateway knows no such instrument: it then tells a dash for its name, and no error."""
        return self.quote is not None and self.quote.get("55") == "-" and not self.has_price

    def on_batch(self, batch: Batch) -> None:
        """Take down a batch."""
        for frame in batch:
            self.frames += 1
            try:
                payload = frame.payload
            except MalformedPayloadError:
                continue
            if isinstance(payload, dict):
                self._take(frame, payload)
        if self._changed is not None:
            self._changed.set()

    async def until(self, condition: Callable[[], bool], ended: asyncio.Future[None], timeout_s: float) -> bool:
        """Wait until a condition on this object holds; whether it does, at the end of the socket or of the time.

        Args:
            condition: asked after every batch.
            ended: done when the socket has ended.
            timeout_s: in seconds of the clock.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        while not condition():
            left_s = deadline_s - self._clock.monotonic_s()
            if ended.done() or left_s <= 0:
                return False
            self._changed = asyncio.Event()
            changed = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait(
                (changed, ended), timeout=self._clock.real_s(left_s), return_when=asyncio.FIRST_COMPLETED
            )
            changed.cancel()
        return True

    def _take(self, frame: Frame, payload: dict[str, Any]) -> None:
        topic = frame.topic
        if topic == "system":
            self.is_ready = self.is_ready or "success" in payload
            beat_ms = payload.get("hb")
            if isinstance(beat_ms, int):
                self.heartbeats.append((self._clock.time_ns() - beat_ms * 1_000_000) / 1e9)
        elif topic == "sts":
            args = payload.get("args")
            if isinstance(args, dict):
                self.sts = {**(self.sts or {}), **args}
        elif "error" in payload:
            self.errors.append(payload)
        elif topic == self._topic:
            self.quotes += 1
            self.quote = {**(self.quote or {}), **payload}
        elif topic is None and payload.get("message") == "waiting for session":
            self.is_waiting_for_session = True


def _is_price(value: object) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and any("0" <= char <= "9" for char in value))
