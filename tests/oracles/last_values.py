"""A model of last values, which decodes and merges every frame into dictionaries, and the comparison."""

from __future__ import annotations

from math import inf
from typing import Any, Final

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.feed.state import Quote, read_quote
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable
from cpapi_fast.protocol.fields import FIELDS
from cpapi_fast.protocol.kinds import FrameKind
from tests.oracles.comparison import is_equal

Fields = dict[str, tuple[Any, int, float]]

#: For keys outside of the catalogue: how many there is room for, and how many characters the longest has.
ROOM: Final = 256
LONGEST: Final = 64


class Twins:
    """Last values and dictionaries, driven together.

    The values of a topic that had a frame which is not JSON are undefined; `undefined` has these topics.
    """

    def __init__(self) -> None:
        self.topics: Final = TopicTable()
        self.last: Final = LastValues(self.topics)
        self.expected: Final[dict[str, Fields]] = {}
        self.undefined: Final[set[str]] = set()
        self.rejected = 0
        #: The keys outside of the catalogue that are kept, and at most how many there were in frames that are not JSON.
        self._others: Final[set[str]] = set()
        self._rejected_keys = 0

    def add(self, topic: str) -> None:
        self.last.add(self.topics.add(topic))
        self.expected.setdefault(topic, {})

    def remove(self, topic: str) -> None:
        slot = self.topics.find(topic)
        self.last.remove(slot)
        assert self.last.get(slot) is None
        self.topics.remove(slot)
        del self.expected[topic]
        self.undefined.discard(topic)

    def update(self, batch: Batch, now_s: float) -> None:
        self.last.update(batch, now_s)
        for frame in batch:
            topic = frame.topic
            if topic is None or frame.kind is not FrameKind.MARKET_DATA or topic not in self.expected:
                continue
            try:
                payload = frame.payload
            except MalformedPayloadError:
                self.rejected += 1
                self._rejected_keys += frame.raw.count(b":")
                self.undefined.add(topic)
                continue
            for key, value in payload.items():
                if key != "topic" and self._has_room(key):
                    self.expected[topic][key] = (value, frame.received_ns, now_s)

    def _has_room(self, key: str) -> bool:
        if key in FIELDS:
            return True
        if len(key) > LONGEST:
            return False
        self._others.add(key)
        return True

    def compare(self) -> int:
        """Compare every topic; return how many fields were equal."""
        count = 0
        assert self.last.malformed <= self.rejected
        if self.last.left_out and len(self._others) + self._rejected_keys > ROOM:
            # Which keys had a place may depend on how much of a frame that is not JSON was read.
            return count
        for topic, expected in self.expected.items():
            found = self.last.get(self.topics.find(topic))
            assert found is not None
            if topic in self.undefined:
                continue
            assert list(found) == list(expected), topic
            for key, (value, received_ns, updated_s) in expected.items():
                got = found[key]
                assert type(got[0]) is type(value)
                assert is_equal(got[0], value), f"{key} of {topic}: {got[0]!r} is not {value!r}"
                assert got[1:] == (received_ns, updated_s), f"{key} of {topic}"
                count += 1
            # All values, those of the last two updates, and none.
            times = sorted({updated_s for _, _, updated_s in expected.values()})
            for since_s in (-inf, *times[-2:], inf):
                self._compare_quote(topic, since_s)
        return count

    def _compare_quote(self, topic: str, since_s: float) -> None:
        """Compare a quote of the values since a time."""
        expected = {key: value for key, value in self.expected[topic].items() if value[2] >= since_s}
        quote = read_quote(
            self.last, self.topics.find(topic), topic, since_s=since_s, clock=lambda: 1e9, is_current=bool(expected)
        )
        assert list(quote.raw) == [*expected, "topic"]
        for key, (value, received_ns, updated_s) in expected.items():
            assert type(quote.raw[key]) is type(value)
            assert is_equal(quote.raw[key], value), f"{key} of {topic}: {quote.raw[key]!r} is not {value!r}"
            assert (quote.received_ns_of(key), quote.age_s(key)) == (received_ns, 1e9 - updated_s), key
        latest = max((updated_s for _, _, updated_s in expected.values()), default=None)
        assert quote.age_s() == (None if latest is None else 1e9 - latest)
        assert quote.received_ns in ({ns for _, ns, updated_s in expected.values() if updated_s == latest} or {0})
        # Whatever the values are, reading them raises nothing.
        assert set(quote.problems) <= {"topic", *(member.key for member in Quote.members().values())}
        assert [getattr(quote, name) for name in ("availability", "is_halted", "is_prior_close")]
