"""Parts of the state machine: interval estimator, backoff, request budget and timers."""

from __future__ import annotations

from random import Random

import pytest

from cpapi_fast.feed.machine import SubscriptionSpec
from cpapi_fast.feed.machine.session.retry_policy import MAX_REQUESTS, Backoff, RequestBudget
from cpapi_fast.feed.machine.subscriptions.interval_estimator import IntervalEstimator
from cpapi_fast.feed.machine.subscriptions.subscription_state import SubscriptionState
from cpapi_fast.feed.machine.subscriptions.timers import Timers


def interval(usual_s: float | None = None) -> IntervalEstimator:
    return IntervalEstimator(5.0, 2.5, 60.0, usual_s)


def subscription(topic: str) -> SubscriptionState:
    return SubscriptionState(SubscriptionSpec(topic, "", ""), interval())


@pytest.mark.parametrize(
    ("usual_s", "limit_s", "is_infrequent"),
    [
        (None, 60.0, False),
        (0.1, 2.5, False),
        (0.5, 2.5, False),
        (1.0, 5.0, False),
        (12.0, 60.0, False),
        (12.1, 60.5, True),
        (3_600.0, 18_000.0, True),
    ],
)
def test_the_staleness_limit_of_a_usual_interval(usual_s: float | None, limit_s: float, is_infrequent: bool):
    found = interval(usual_s)
    assert found.limit_s == pytest.approx(limit_s)
    assert found.is_infrequent is is_infrequent
    assert found.frequent_s == (0.0 if is_infrequent or usual_s is None else usual_s)


@pytest.mark.parametrize("every_s", [0.5, 1.0, 20.0, 3_600.0])
def test_a_regular_interval_is_learned(every_s: float):
    found = interval()
    for _ in range(50):
        found.learn(1 if every_s > 5 else 10, every_s * (1 if every_s > 5 else 10))
    assert found.usual_s == pytest.approx(every_s)


def test_a_changed_interval_is_learned():
    found = interval()
    found.learn(100, 100.0)
    # The market closes for the night ...
    for _ in range(30):
        found.learn_pause(500.0)
    assert found.is_infrequent
    # ... and opens again.
    found.learn(20, 10.0)
    assert found.usual_s is not None
    assert found.usual_s < 2.0
    assert not found.is_infrequent


def test_a_given_interval_does_not_change():
    found = interval(4.0)
    found.learn(1_000, 1.0)
    found.learn_pause(1_000.0)
    found.raise_limit(15.0, 0.75)
    assert (found.usual_s, found.limit_s) == (4.0, 20.0)


def test_a_harmless_pause_raises_the_limit():
    found = interval()
    found.learn(100, 100.0)
    found.raise_limit(6.0, 0.75)
    assert 0.75 * found.limit_s > 6.0
    # The limit decreases again, and it has a bound.
    found.learn(100_000, 100_000.0)
    assert found.limit_s == pytest.approx(5.0)
    for _ in range(100):
        found.raise_limit(3.9 * found.limit_s, 0.75)
    assert found.limit_s <= 30.0


@pytest.mark.parametrize(("ticks", "elapsed_s"), [(0, 5.0), (-1, 5.0), (5, 0.0), (5, -1.0)])
def test_nothing_is_learned_without_ticks_or_time(ticks: int, elapsed_s: float):
    found = interval()
    found.learn(10, 10.0)
    found.learn(ticks, elapsed_s)
    assert found.usual_s == 1.0


def test_backoff_grows_to_its_bound_with_full_jitter():
    waits = [[] for _ in range(12)]
    for seed in range(300):
        backoff = Backoff(1.0, 60.0, Random(seed))
        for wait in waits:
            wait.append(backoff.next_s())
    for tries, wait in enumerate(waits):
        bound_s = min(2.0**tries, 60.0)
        assert 0.0 <= min(wait) < 0.1 * bound_s
        assert 0.9 * bound_s < max(wait) <= bound_s


def test_backoff_can_be_slow_and_is_reset():
    backoff = Backoff(1.0, 60.0, Random(1))
    for _ in range(1_000):
        assert 30.0 <= backoff.next_s(is_slow=True) <= 60.0
    backoff.reset()
    assert backoff.next_s() <= 1.0


@pytest.mark.parametrize("seed", range(10))
def test_the_budget_holds_in_every_minute(seed: int):
    random, budget = Random(seed), RequestBudget()
    now_s, spent = 100.0, []
    for _ in range(2_000):
        count = random.choice([1, 1, 1, 4])
        free_s = budget.free_s(now_s, count)
        assert free_s >= now_s
        # Sometimes as soon as possible, sometimes later.
        now_s = free_s + random.choice([0.0, 0.0, 0.001, random.uniform(0.0, 30.0)])
        assert budget.free_s(now_s, count) == now_s
        for _ in range(count):
            budget.spend(now_s)
            spent.append(now_s)
    for index in range(MAX_REQUESTS, len(spent)):
        assert spent[index] - spent[index - MAX_REQUESTS] >= 60.0


def test_timers_return_each_subscription_once_when_it_is_due():
    timers = Timers()
    subscriptions = {name: subscription(name) for name in "abc"}
    for index, item in enumerate(subscriptions.values()):
        item.staleness.check_s = 10.0 + index
        timers.set(item)
    # A later time leaves the old entry in place; an earlier one adds an entry.
    subscriptions["a"].staleness.check_s = 20.0
    timers.set(subscriptions["a"])
    subscriptions["c"].request.renew_s = 5.0
    timers.set(subscriptions["c"])
    assert timers.take(4.9) is None
    assert timers.take(5.0) is subscriptions["c"]
    subscriptions["c"].request.renew_s = 30.0
    timers.set(subscriptions["c"])
    assert timers.take(10.9) is None
    assert timers.take(15.0) is subscriptions["b"]
    subscriptions["b"].staleness.check_s = float("inf")
    assert timers.take(15.0) is subscriptions["c"]
    subscriptions["c"].staleness.check_s = float("inf")
    timers.set(subscriptions["c"])
    assert timers.take(15.0) is None
    assert timers.due_s == 20.0


def test_obsolete_timers_are_removed():
    timers = Timers()
    subscriptions = {"a": subscription("a")}
    for step in range(10_000):
        subscriptions["a"].staleness.check_s = 1e6 - step
        timers.set(subscriptions["a"])
        timers.shrink(subscriptions)
    assert len(timers) <= 69
    assert timers.due_s == subscriptions["a"].staleness.check_s
