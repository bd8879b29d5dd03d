"""Texts are paced by bytes; churn costs nothing, renewals come first, and no kind of text delays another one much."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from cpapi_fast.events import FeedState
from cpapi_fast.feed.machine import SubscriptionSpec
from cpapi_fast.feed.machine.subscriptions.send_queue import OVERHEAD_BYTES, Lane, Purpose, QueuedRequest, SendQueue
from cpapi_fast.feed.options import FeedOptions
from tests.unit.feed.machine_harness import SMD, Bench

#: How long the gateway lets a stream live without a renewal.
LIFETIME_S = 600.0
MANY = FeedOptions(market_data_lines=20_000)


def entry(key: str, purpose: Purpose | None = Purpose.SUBSCRIBE, at_s: float = 0.0) -> QueuedRequest:
    return QueuedRequest(key, purpose, at_s, f"umd+{key}" if purpose is None else "")


def taken(queue: SendQueue, now_s: float, text: str = "x" * 60) -> list[str]:
    """The keys of all entries that are sent at this time."""
    found = []
    while (item := queue.take(now_s)) is not None:
        found.append(item.key)
        queue.spend(text, now_s)
    return found


def test_a_burst_is_sent_at_once_and_the_rest_at_the_rate():
    queue = SendQueue(1_024.0, 512.0)
    for number in range(30):
        queue.put(entry(f"{number}"))
    # A text of 88 bytes counts 128. The one after the burst is allowed, because the burst is used up only then.
    text = "x" * (128 - OVERHEAD_BYTES)
    assert taken(queue, 50.0, text) == ["0", "1", "2", "3", "4"]
    assert queue.due_s == 50.125
    assert taken(queue, 50.0625, text) == []
    assert taken(queue, 50.125, text) == ["5"]
    # A late timer loses nothing, up to the burst.
    assert len(taken(queue, 50.5, text)) == 3
    assert len(taken(queue, 60.0, text)) == 5


def test_first_lanes_then_the_others_in_turn():
    queue = SendQueue(1.0, 1e9)
    for number in range(3):
        queue.put(entry(f"probe{number}", Purpose.PROBE))
        queue.put(entry(f"new{number}"))
        queue.put(entry(f"old{number}", None), Lane.UNSUBSCRIBE)
        queue.put(entry(f"renew{number}", Purpose.RENEW))
    queue.put(entry("tic", None))
    assert taken(queue, 0.0) == [
        "tic",
        *("renew0", "renew1", "renew2"),
        *("old0", "new0", "probe0"),
        *("old1", "new1", "probe1"),
        *("old2", "new2", "probe2"),
    ]
    assert queue.due_s is None
    assert queue.oldest_s is None


def test_discarded_and_hastened_entries():
    queue = SendQueue(1.0, 1e9)
    first, second, third = entry("a", at_s=1.0), entry("b", at_s=2.0), entry("c", Purpose.PROBE, at_s=3.0)
    for item in (first, second, third):
        queue.put(item)
    assert queue.oldest_s == 1.0
    queue.discard(first)
    queue.discard(first)
    assert (len(queue), queue.oldest_s) == (2, 2.0)
    queue.hasten(third)
    assert taken(queue, 5.0) == ["c", "b"]


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_calls_breaks_the_rate_or_delays_an_entry(seed: int):
    random = Random(seed)
    rate, burst = random.choice([(1_000.0, 100.0), (32_768.0, 4_096.0)])
    queue = SendQueue(rate, burst)
    now_s, sent, waiting = 0.0, [], {}
    turns = Counter()
    for number in range(3_000):
        now_s += random.choice([0.0, 0.0, 0.001, 0.05])
        if random.random() < 0.5:
            purpose = random.choice([Purpose.SUBSCRIBE, Purpose.PROBE, Purpose.RESUBSCRIBE])
            item = entry(f"{number}", purpose, now_s)
            queue.put(item)
            waiting[item.key] = item
        elif waiting and random.random() < 0.3:
            queue.discard(waiting.pop(random.choice(list(waiting))))
        due = set(queue.topics_due(now_s))
        while (item := queue.take(now_s)) is not None:
            assert waiting.pop(item.key) is item
            assert item.key in due
            text = "x" * random.randrange(10, 300)
            queue.spend(text, now_s)
            sent.append((now_s, OVERHEAD_BYTES + len(text)))
            turns[item.purpose] += 1
        assert len(queue) == len(waiting)
        assert queue.oldest_s == min((item.queued_s for item in waiting.values()), default=None)
    for first in range(0, len(sent), 50):
        total, from_s = 0, sent[first][0]
        for at_s, nbytes in sent[first:]:
            # The text that uses up the burst may exceed it.
            assert total <= burst + rate * (at_s - from_s) + 1e-6
            total += nbytes


# --- the whole machine ----------------------------------------------------------------------------


def churn(bench: Bench, pairs: int, first: int = 1_000) -> None:
    """Subscribe to an instrument and cancel it, many times, at one moment."""
    for number in range(pairs):
        spec = Bench.spec(first + number)
        bench.do(bench.machine.subscribe(spec, bench.now()))
        bench.do(bench.machine.unsubscribe(spec.topic, bench.now()))


@pytest.mark.parametrize("pairs", [600, 10_000])
def test_the_next_subscribe_is_sent_soon_after_churn(pairs: int):
    bench = Bench(SMD, options=MANY).to("streaming")
    churn(bench, pairs)
    for conid in range(20):
        bench.do(bench.machine.subscribe(Bench.spec(50_000 + conid), bench.now()))
    bench.passes(0.5)
    sent = bench.sent()
    assert [text for text in sent if text.startswith("smd+500")] == [
        f"smd+{50_000 + conid}+{{}}" for conid in range(20)
    ]
    # What was sent at all was cancelled at the gateway too.
    opened = {text.split("+")[1] for text in sent if text.startswith("smd+")}
    assert {text.split("+")[1] for text in sent if text.startswith("umd+")} == {
        conid for conid in opened if not conid.startswith("500")
    }
    assert len(bench.machine.send_queue) == 0


def test_churn_of_one_topic_ends_as_the_user_wants():
    specs = [Bench.spec(conid) for conid in range(200)]
    for ends_subscribed in (False, True):
        bench = Bench(*specs, options=MANY).to("streaming")
        # The burst is used up, so that the texts wait.
        for spec in specs[1:]:
            bench.do(bench.machine.unsubscribe(spec.topic, bench.now()))
        for _ in range(600):
            bench.do(bench.machine.unsubscribe("smd+0", bench.now()))
            bench.do(bench.machine.subscribe(specs[0], bench.now()))
        if not ends_subscribed:
            bench.do(bench.machine.unsubscribe("smd+0", bench.now()))
        bench.passes(5.0)
        texts = [text for text in bench.sent() if text.split("+")[1] == "0"]
        assert texts == (["umd+0+{}", "smd+0+{}"] if ends_subscribed else ["umd+0+{}"])
        assert len(bench.machine.send_queue) == 0


def test_texts_of_an_ended_subscription_are_not_sent():
    specs = [Bench.spec(conid) for conid in range(300)]
    bench = Bench(*specs, options=MANY).to("authenticated")
    sent = bench.sent()
    waiting = [spec for spec in specs if spec.payload not in sent]
    assert len(waiting) > 100
    for spec in waiting:
        bench.do(bench.machine.unsubscribe(spec.topic, bench.now()))
    bench.passes(2.0)
    assert bench.sent() == []
    # Never subscribed, so there is nothing to unsubscribe and no gap.
    assert bench.gaps() == []


def test_an_unsubscribe_frees_its_line_before_the_subscribe_after_it():
    specs = [Bench.spec(conid) for conid in range(100)]
    bench = Bench(*specs).to("streaming")
    for spec in specs:
        bench.do(bench.machine.unsubscribe(spec.topic, bench.now()))
    for conid in range(100):
        bench.do(bench.machine.subscribe(Bench.spec(1_000 + conid), bench.now()))
    bench.passes(5.0)
    in_use, most = 100, 0
    for text in bench.sent():
        in_use += 1 if text.startswith("smd") else -1
        most = max(most, in_use)
    assert (in_use, most) == (100, 100)


@pytest.mark.parametrize(("count", "within_s"), [(100, 1.0), (1_000, 8.0)])
def test_all_subscribes_are_sent_soon_after_a_reset(count: int, within_s: float):
    """With the usual fields; the gateway needs a second more."""
    fields = '{"fields":["31","84","86","85","88","87"]}'
    specs = [
        SubscriptionSpec(f"smd+{conid}", f"smd+{conid}+{fields}", f"umd+{conid}+{{}}", is_market_data=True)
        for conid in range(265_000, 265_000 + count)
    ]
    bench = Bench(*specs, options=MANY).to("authenticated")
    bench.passes(within_s)
    assert len(bench.sent()) == count
    # No more than a gateway bears: far from the thousands that have broken connections.
    bench = Bench(*specs, options=MANY).to("authenticated")
    assert len(bench.texts) <= 50
    bench.passes(1.0)
    assert len(bench.texts) <= 420


def test_renewals_are_in_time_however_much_churns():
    """12,000 instruments are subscribed to and cancelled within twenty minutes, more than the rate allows."""
    kept = [Bench.spec(conid) for conid in range(50)]
    bench = Bench(*kept, options=FeedOptions(market_data_lines=20_000, send_bytes_per_s=400.0)).to("streaming")
    sent_s = dict.fromkeys((spec.topic for spec in kept), bench.s)
    oldest_s = 0.0
    previous = None
    for number in range(12_000):
        spec = Bench.spec(1_000 + number)
        bench.do(bench.machine.subscribe(spec, bench.now()))
        if previous is not None:
            bench.do(bench.machine.unsubscribe(previous.topic, bench.now()))
        previous = spec
        bench.last_frame_s = bench.s
        bench.passes(0.1)
        bench.responds()
        for text in bench.sent():
            topic = text.rpartition("+")[0]
            if topic in sent_s:
                oldest_s = max(oldest_s, bench.s - sent_s[topic])
                sent_s[topic] = bench.s
        if number % 5 == 0:
            for kept_spec in kept:
                bench.frame(kept_spec.topic, stream_id="q1")
        assert len(bench.machine.send_queue) <= 300
    assert oldest_s <= LIFETIME_S
    assert bench.machine.requests.renewals >= 2 * len(kept)


def test_the_length_and_the_age_of_the_queue_are_figures():
    specs = [Bench.spec(conid) for conid in range(500)]
    bench = Bench(*specs, options=MANY).to("authenticated")
    began_s = bench.s
    assert len(bench.machine.send_queue) > 400
    assert bench.machine.send_queue.oldest_s == began_s
    bench.passes(5.0)
    assert (len(bench.machine.send_queue), bench.machine.send_queue.oldest_s) == (0, None)
    assert all(one.state is FeedState.OPEN for one in bench.machine.subscriptions.values())
