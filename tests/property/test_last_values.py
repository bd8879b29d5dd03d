"""Last values equal a full decode of every frame and a merge of dictionaries, on every text that is JSON.

The number of texts and their seed come from CPAPI_FAST_CASES and CPAPI_FAST_TEST_SEED.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import generator
from tests.oracles.last_values import Twins
from tests.property.test_ticks import payloads
from tests.support import frames
from tests.support.batches import batch_of

CASES = int(os.environ.get("CPAPI_FAST_CASES", "20000"))
SEED = int(os.environ.get("CPAPI_FAST_TEST_SEED", "20260101"))


def merge(twins: Twins, texts: Iterable[bytes], moment: int) -> None:
    """One batch of these texts; their topics are added first."""
    batch = batch_of(texts, received_ns=moment)
    for frame in batch:
        if frame.topic is not None:
            twins.add(frame.topic)
    twins.update(batch, moment / 8)


def test_last_values_equal_a_merge_of_dictionaries():
    chance = random.Random(SEED)
    cases = (case.data for case in generator.Generator(SEED).cases(CASES))
    twins = Twins()
    equal = 0
    turn = 0
    waiting: list[bytes] = []
    for text in cases:
        waiting.append(text)
        if chance.randrange(4) == 0:
            waiting.append(chance.choice(frames.corpus()))
        if chance.randrange(40) == 0:
            turn += 1
            merge(twins, waiting, turn)
            waiting = []
            if turn % 5 == 0:
                equal += twins.compare()
                for topic in list(twins.expected):
                    if topic in twins.undefined or chance.randrange(8) == 0:
                        twins.remove(topic)
    assert equal + twins.compare() > CASES // 4


@settings(max_examples=100, deadline=None)
@given(st.lists(payloads(), max_size=4))
def test_any_json(texts: list[bytes]):
    twins = Twins()
    for moment, text in enumerate(texts):
        merge(twins, [text], moment)
        twins.compare()
    assert twins.rejected == 0


def test_keys_without_room_are_left_out():
    """Keys of more than 64 characters, and others after 256; the model has the same rules."""
    twins = Twins()
    long_key, longest_key = "k" * 65, "k" * 64
    merge(twins, [f'{{"31":1,"{long_key}":2,"{longest_key}":3,"topic":"smd+1"}}'.encode()], 1)
    assert twins.compare() == 2
    assert twins.last.left_out == 1
    merge(twins, [f'{{"{number}x":1,"topic":"smd+1"}}'.encode() for number in range(255)], 2)
    assert twins.compare() == 257
    merge(twins, [b'{"84":1,"more":1,"topic":"smd+1"}'], 3)
    assert twins.compare() == 0
    assert twins.last.left_out == 2
