"""Records what one socket has received, and waits until a condition on it holds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.feed.driver.control_frames import MAX_CONTROL_BYTES
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.fields import DEFAULT_FIELDS

#: Fields that hold a price: last, bid, ask.
PRICES: Final = DEFAULT_FIELDS[:3]

#: How many error frames are kept.
_MAX_ERRORS: Final = 100


class SocketObserver:
    """Records the content of frames; `on_batch` is the callback for `WsClient.on_batch`.

    Args:
        clock: measures the times below.
        topic: the market data topic to record.

    Attributes:
        frames: the number of frames received.
        is_ready: whether `system` with `success` was received.
        is_waiting_for_session: whether the gateway sent `waiting for session`.
        sts: the `sts` objects, merged; None before the first.
        heartbeat_leads_s: for each `hb`, by how many seconds this clock is ahead of it.
        quote: the fields of `topic`, merged; None before its first frame.
        quotes: the number of frames of `topic`.
        errors: the last error frames, decoded.
    """

    def __init__(self, clock: Clock, topic: str) -> None:
        self.frames = 0
        self.is_ready = False
        self.is_waiting_for_session = False
        self.sts: dict[str, Any] | None = None
        self.heartbeat_leads_s: Final[list[float]] = []
        self.quote: dict[str, Any] | None = None
        self.quotes = 0
        self.errors: Final[deque[dict[str, Any]]] = deque(maxlen=_MAX_ERRORS)
        self._clock: Final = clock
        self._topic: Final = topic
        self._changed: asyncio.Event | None = None

    @property
    def has_price(self) -> bool:
        """Whether a price of the instrument was received, even an old one."""
        return self.quote is not None and any(_is_price(self.quote.get(code)) for code in PRICES)

    @property
    def is_unknown(self) -> bool:
        """Whether the gateway does not know the instrument: its symbol is then a dash, and there is no error."""
        return self.quote is not None and self.quote.get("55") == "-" and not self.has_price

    def on_batch(self, batch: Batch) -> None:
        """Record the frames of a batch."""
        for frame in batch:
            self.frames += 1
            if len(frame) > MAX_CONTROL_BYTES:
                continue
            try:
                payload = frame.payload
            except MalformedPayloadError:
                continue
            if isinstance(payload, dict):
                self._record(frame, payload)
        if self._changed is not None:
            self._changed.set()

    async def until(self, condition: Callable[[], bool], ended: asyncio.Future[None], timeout_s: float) -> bool:
        """Wait until a condition on this object holds.

        Args:
            condition: evaluated after every batch.
            ended: done when the socket has ended.
            timeout_s: in seconds of the clock.

        Returns:
            Whether the condition holds. False when the socket ended or the time ran out before.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        while not condition():
            left_s = deadline_s - self._clock.monotonic_s()
            if ended.done() or left_s <= 0:
                return False
            self._changed = asyncio.Event()
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait(
                    (changed, ended), timeout=self._clock.real_s(left_s), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                changed.cancel()
        return True

    def _record(self, frame: Frame, payload: dict[str, Any]) -> None:
        topic = frame.topic
        if topic == "system":
            self.is_ready = self.is_ready or "success" in payload
            heartbeat_ms = payload.get("hb")
            if isinstance(heartbeat_ms, int):
                self.heartbeat_leads_s.append((self._clock.time_ns() - heartbeat_ms * 1_000_000) / 1e9)
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
