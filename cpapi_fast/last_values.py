"""The merged fields of each market data subscription, with when each came. To be replaced by the one in Cython."""

from __future__ import annotations

from typing import Any

from .batch import Batch
from .errors import MalformedPayloadError
from .kinds import FrameKind


class LastValues:
    """Per topic the latest value of every field."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, tuple[Any, int, float]]] = {}

    def add(self, topic: str) -> None:
        """Keep the fields of a topic."""
        self._values.setdefault(topic, {})

    def remove(self, topic: str) -> None:
        """Forget a topic."""
        self._values.pop(topic, None)

    def update(self, batch: Batch, now_s: float) -> None:
        """Take in what a batch brings."""
        for frame in batch:
            if frame.kind is FrameKind.MARKET_DATA and frame.topic in self._values:
                try:
                    payload = frame.payload
                except MalformedPayloadError:
                    continue
                merged = self._values[frame.topic]
                for code, value in payload.items():
                    if code != "topic":
                        merged[code] = (value, frame.received_ns, now_s)

    def get(self, topic: str) -> dict[str, tuple[Any, int, float]] | None:
        """Code to value, receive time, and time of the update; None for a topic that is not kept."""
        return self._values.get(topic)
