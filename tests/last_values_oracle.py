"""What the last values of topics have to be, by decoding every frame and merging dictionaries, and the comparison."""

from __future__ import annotations

from typing import Any, Final

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.frames.batch import Batch
from cpapi_fast.protocol.kinds import FrameKind
from tests.comparison import is_equal

Fields = dict[str, tuple[Any, int, float]]


class Books:
    """The last values of topics and the obvious way to the same, driven together.

    Of a topic that had a frame which is not JSON, nothing can be foretold; `spoilt` has these.
    """

    def __init__(self) -> None:
        self.last: Final = LastValues()
        self.expected: Final[dict[str, Fields]] = {}
        self.spoilt: Final[set[str]] = set()
        self.refused = 0

    def add(self, topic: str) -> None:
        self.last.add(topic)
        self.expected.setdefault(topic, {})

    def remove(self, topic: str) -> None:
        self.last.remove(topic)
        del self.expected[topic]
        self.spoilt.discard(topic)

    def update(self, batch: Batch, now_s: float) -> None:
        self.last.update(batch, now_s)
        for frame in batch:
            topic = frame.topic
            if topic is None or frame.kind is not FrameKind.MARKET_DATA or topic not in self.expected:
                continue
            try:
                payload = frame.payload
            except MalformedPayloadError:
                self.refused += 1
                self.spoilt.add(topic)
                continue
            for key, value in payload.items():
                if key != "topic":
                    self.expected[topic][key] = (value, frame.received_ns, now_s)

    def compare(self) -> int:
        """Hold every topic against what is expected; how many fields were equal."""
        count = 0
        assert self.last.malformed <= self.refused
        for topic, expected in self.expected.items():
            found = self.last.get(topic)
            assert found is not None
            if topic in self.spoilt:
                continue
            assert list(found) == list(expected), topic
            for key, (value, received_ns, updated_s) in expected.items():
                got = found[key]
                assert type(got[0]) is type(value)
                assert is_equal(got[0], value), f"{key} of {topic}: {got[0]!r} is not {value!r}"
                assert got[1:] == (received_ns, updated_s), f"{key} of {topic}"
                count += 1
        return count
