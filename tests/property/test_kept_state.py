"""The kept state equals dictionaries merged member by member, over any sparse updates, interruptions and repeats.

The number of seeded steps comes from CPAPI_FAST_CASES, and their seed from CPAPI_FAST_TEST_SEED.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.feed.state import KeptState
from cpapi_fast.frames.frame import classify
from tests.oracles.kept_state import Twins

CASES = int(os.environ.get("CPAPI_FAST_CASES", "20000"))
SEED = int(os.environ.get("CPAPI_FAST_TEST_SEED", "20260101"))

TOPICS = ("sor", "str", "spl", "ssd+DU1", "ssd+DU2", "sld+DU1")

#: What a member may be: usual values, and those of another type.
VALUES = [
    "Inactive", "Submitted", "Filled", "Cancelled", "Unheard", "BUY", "B", "1.00", "", "N/A", "0.35", "1,300", 1, 0,
    2, 3, 4, 2.5, 1e300, True, None, [], {}, [1], {"a": {"b": None}}, 1_777_439_171_105,
]  # fmt: skip

MEMBERS = {
    "sor": ["status", "price", "filledQuantity", "totalSize", "side", "new", "isEventTrading"],
    "str": ["commission", "price", "size", "side", "trade_time_r", "trade_time_r", "new"],
    "spl": ["dpl", "upl", "nl", "rowType", "timestamp"],
    "ssd": ["monetaryValue", "value", "currency", "severity", "timestamp"],
    "sld": ["cashbalance", "settledCash", "exchangeRate", "secondKey", "timestamp"],
}

ORDER_IDS: list[Any] = [1, 2, 3, 4, 5, 2.0, "3", "x", None, 1_777_439_171_105]
TEXT_IDS: list[Any] = ["a", "b", "c", "d", "", 5, None]


def with_id(kind: str, chosen: Any, members: dict[str, Any]) -> dict[str, Any]:
    name = {"sor": "orderId", "str": "execution_id"}.get(kind, "key")
    return {name: chosen, **members}


def message(topic: str, updates: list[Any]) -> dict[str, Any]:
    """A message; in one of profit and loss, the rows are the values of an object."""
    kind = topic.partition("+")[0]
    if kind == "spl":
        return {"topic": topic, "args": {str(name): members for name, members in updates}}
    return {"topic": topic, "result" if kind in ("ssd", "sld") else "args": updates}


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    topic = draw(st.sampled_from(TOPICS))
    kind = topic.partition("+")[0]
    members = st.dictionaries(st.sampled_from(MEMBERS[kind]), st.sampled_from(VALUES), max_size=4)
    if draw(st.integers(0, 9)) == 0:
        # Another type than an array or, of profit and loss, an object.
        found = draw(st.sampled_from([None, 5, "x", [] if kind == "spl" else {}, [[]] if kind == "spl" else {"a": {}}]))
        return {"topic": topic, "result" if kind in ("ssd", "sld") else "args": found}
    if kind == "spl":
        return message(topic, draw(st.lists(st.tuples(st.sampled_from(["DU1.Core", "DU2.", ""]), members), max_size=3)))
    ids = st.sampled_from(ORDER_IDS if kind == "sor" else TEXT_IDS)
    rows = st.one_of(st.builds(lambda chosen, found: with_id(kind, chosen, found), ids, members), st.just(5))
    return message(topic, draw(st.lists(rows, max_size=4)))


STEPS = st.lists(st.one_of(messages(), st.sets(st.sampled_from(TOPICS))), max_size=25)


def run(twins: Twins, steps: list[dict[str, Any] | set[str]]) -> None:
    for step in steps:
        if isinstance(step, set):
            twins.interrupt(step)
        else:
            twins.put(classify(json.dumps(step).encode()), step)


@settings(max_examples=max(50, CASES // 100))
@given(steps=STEPS, most=st.integers(1, 5))
def test_it_equals_the_model(steps: list[dict[str, Any] | set[str]], most: int) -> None:
    run(Twins(most), steps)


def test_it_equals_the_model_over_a_long_time() -> None:
    chance = random.Random(SEED)
    twins = Twins(6)
    for _ in range(CASES // 10):
        if chance.randrange(20) == 0:
            run(twins, [set(chance.sample(TOPICS, chance.randrange(len(TOPICS) + 1)))])
        topic = chance.choice(TOPICS)
        kind = topic.partition("+")[0]
        updates: list[Any] = []
        for _ in range(chance.randrange(1, 4)):
            members = {name: chance.choice(VALUES) for name in chance.sample(MEMBERS[kind], chance.randrange(4))}
            if "trade_time_r" in members and chance.randrange(4):
                members["trade_time_r"] = chance.randrange(1_000_000)
            if kind == "spl":
                updates.append((chance.choice("abcdefgh"), members))
            else:
                chosen = chance.randrange(12) if kind == "sor" else chance.choice("abcdefghijk")
                updates.append(with_id(kind, chosen, members))
        run(twins, [message(topic, updates)])
    assert twins.model.evicted > 0
    assert twins.model.left_out > 0


@settings(max_examples=max(50, CASES // 400))
@given(
    parts=st.dictionaries(st.sampled_from(["e1", "e2", "e3"]), st.integers(1, 3), min_size=1),
    chance=st.randoms(use_true_random=False),
)
def test_the_order_of_executions_and_their_repeats_makes_no_difference(
    parts: dict[str, int], chance: random.Random
) -> None:
    """Each execution arrives without and with its commission, any number of times, in any order."""
    whole = {
        name: {"execution_id": name, "size": float(size), "price": f"{size}.50", "commission": f"0.{size}"}
        for name, size in parts.items()
    }
    sent = [{key: value for key, value in row.items() if key != "commission"} for row in whole.values()]
    sent = [*sent, *whole.values()] * chance.randrange(1, 4)
    chance.shuffle(sent)
    state = KeptState(max_orders=9, max_executions=9, max_account_rows=9)
    for row in sent:
        state.on_subscription_frame(classify(json.dumps({"topic": "str", "args": [row]}).encode()))
    found = state.executions.snapshot
    assert {name: execution.raw for name, execution in found.items()} == whole
