"""Last values equal a full decode of every frame and a merge of dictionaries, on every text that is JSON.

The number of texts and their seed come from CPAPI_FAST_CASES and CPAPI_FAST_SEED.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.frames.batch import BatchBuilder
from tests import frames, generator
from tests.last_values_oracle import Books
from tests.property.test_ticks import payloads

CASES = int(os.environ.get("CPAPI_FAST_CASES", "20000"))
SEED = int(os.environ.get("CPAPI_FAST_SEED", "20260101"))


def merge(books: Books, texts: Iterable[bytes], moment: int) -> None:
    """One batch of these texts; their topics are added first."""
    builder = BatchBuilder()
    for text in texts:
        builder.append(text)
    batch = builder.finish(moment)
    if batch is not None:
        for frame in batch:
            if frame.topic is not None:
                books.add(frame.topic)
        books.update(batch, moment / 8)


def test_last_values_equal_a_merge_of_dictionaries():
    chance = random.Random(SEED)
    cases = (case.data for case in generator.Generator(SEED).cases(CASES))
    books = Books()
    equal = 0
    turn = 0
    waiting: list[bytes] = []
    for text in cases:
        waiting.append(text)
        if chance.randrange(4) == 0:
            waiting.append(chance.choice(frames.corpus()))
        if chance.randrange(40) == 0:
            turn += 1
            merge(books, waiting, turn)
            waiting = []
            if turn % 5 == 0:
                equal += books.compare()
                for topic in list(books.expected):
                    if topic in books.spoilt or chance.randrange(8) == 0:
                        books.remove(topic)
    assert equal + books.compare() > CASES // 4


@settings(max_examples=100, deadline=None)
@given(st.lists(payloads(), max_size=4))
def test_any_json(texts: list[bytes]):
    books = Books()
    for moment, text in enumerate(texts):
        merge(books, [text], moment)
        books.compare()
    assert books.refused == 0
