"""A tracker equals dictionaries by `Frame.topic`, for any frames in any order.

The number of texts and their seed come from CPAPI_FAST_CASES and CPAPI_FAST_TEST_SEED.
"""

from __future__ import annotations

import os
import random

import pytest

from cpapi_fast.frames.batch import BatchBuilder
from tests.oracles import generator
from tests.oracles.tracker import Twins
from tests.support import frames

CASES = int(os.environ.get("CPAPI_FAST_CASES", "20000"))
SEED = int(os.environ.get("CPAPI_FAST_TEST_SEED", "20260101"))


@pytest.mark.parametrize("inspects_kept", [True, False])
def test_a_tracker_equals_dictionaries(inspects_kept: bool):
    chance = random.Random(SEED)
    cases = (case.data for case in generator.Generator(SEED).cases(CASES))
    known = [topic.decode() for topic in (*generator.ROUTED_TOPICS, *generator.OTHER_TOPICS)]
    twins = Twins(inspects_kept=inspects_kept)
    turn = 0
    is_over = False
    while not is_over:
        turn += 1
        builder = BatchBuilder()
        for _ in range(chance.randrange(1, 60)):
            text = next(cases, None)
            if text is None:
                is_over = True
                break
            builder.append(text)
            if chance.randrange(3) == 0:
                builder.append(chance.choice(frames.corpus()))
            if chance.randrange(3) == 0:
                builder.append(frames.smd(chance.randrange(300)))
        batch = builder.finish(turn)
        if batch is None:
            break
        seen = [frame.topic for frame in batch]
        for _ in range(chance.randrange(12)):
            topic = chance.choice(seen) or chance.choice(known)
            if chance.randrange(2):
                topic = chance.choice([*known, f"smd+{chance.randrange(300)}"])
            twins.add(topic)
        for _ in range(chance.randrange(10)):
            if twins.slots:
                action = chance.choice([twins.watch, twins.unwatch, twins.unwatch, twins.remove])
                action(chance.choice(list(twins.slots)))
        twins.scan(batch, turn / 8)
        if turn % 100 == 0:
            # Down to nothing, and up again.
            for topic in list(twins.slots):
                twins.remove(topic)
    assert twins.tracker.frames >= CASES
    assert twins.tracker.untracked > CASES // 100
