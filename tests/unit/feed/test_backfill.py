"""Which gap is asked for when, what becomes of places at the gateway, and that every gap gets one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import orjson
import pytest

from cpapi_fast.errors import ConnectError, RateLimitedError, StatusError
from cpapi_fast.events import Backfill, Cause, Gap
from cpapi_fast.feed.backfill import SLOTS, Backfiller
from cpapi_fast.frames.frame import classify
from cpapi_fast.protocol.history import History
from tests.hand_clock import START_NS, HandClock, settle
from tests.support import run

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
START_MS = START_NS // 1_000_000


def a_gap(topic: str = "smd+265598", *, from_s: float = -90.0, to_s: float | None = -5.0) -> Gap:
    first_good_ns = None if to_s is None else START_NS + int(to_s * SECOND_NS)
    return Gap(topic, START_NS + int(from_s * SECOND_NS), first_good_ns, Cause.CONNECTION_LOST)


def bars(*minutes: int) -> list[dict[str, float]]:
    return [{"o": 1.0, "c": 1.5, "h": 2.0, "l": 0.5, "v": 3, "t": START_MS + minute * 60_000} for minute in minutes]


class Bench:
    """A backfiller, what it sent, and what it told."""

    def __init__(self, source: Any = "smh", **options: Any) -> None:
        self.clock = HandClock()
        self.sent: list[str] = []
        self.told: list[Backfill] = []
        self.asked: list[tuple[int, str | None, str, str]] = []
        self.answers: list[asyncio.Future[History]] = []
        self.backfiller = Backfiller(
            source,
            clock=self.clock,
            send=self.sent.append,
            request=self.request,
            on_backfill=self.told.append,
            **options,
        )

    def request(
        self, conid: int, *, period: str, bar: str, exchange: str | None, outside_rth: bool
    ) -> Awaitable[History]:
        assert outside_rth
        self.asked.append((conid, exchange, period, bar))
        answer: asyncio.Future[History] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return answer

    def hear(self, conid: int, server_id: object = "1", data: object = None, **members: object) -> None:
        """An answer of the gateway."""
        payload = {"serverId": server_id, "barLength": 60, "data": bars(-2, -1) if data is None else data}
        self.backfiller.on_frame(classify(orjson.dumps(payload | members | {"topic": f"smh+{conid}"})))

    def refuse(self, conid: int) -> None:
        body = {"error": "too many history requests", "code": 500, "topic": f"smh+{conid}"}
        self.backfiller.on_frame(classify(orjson.dumps(body)))

    @property
    def open_conids(self) -> list[str]:
        """The conids that were asked for, in order."""
        return [text.split("+")[1] for text in self.sent if text.startswith("smh+")]

    @property
    def errors(self) -> list[str]:
        assert all((backfill.error is None) == bool(backfill.bars) for backfill in self.told)
        return [str(backfill.error) for backfill in self.told]


# --- over the socket ------------------------------------------------------------------------------


def test_a_gap_gets_its_bars_and_its_place_is_given_back() -> None:
    async def scenario() -> None:
        bench = Bench()
        gap = a_gap()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(gap)
        assert bench.sent == [
            'smh+265598+{"period":"3min","bar":"1min","outsideRth":true,"source":"trades","format":"%o/%c/%h/%l/%v"}'
        ]
        assert (bench.backfiller.pending, bench.backfiller.slots_in_use) == (1, 1)
        bench.hear(265598, "340001", bars(-3, -2, -1, 0))
        assert bench.sent[1:] == ["umh+340001"]
        (backfill,) = bench.told
        assert (backfill.gap, backfill.source, backfill.error) == (gap, "smh", None)
        # From the bar in which the last good frame came to the one in which the first good one did.
        assert [bar.start_ns for bar in backfill.bars] == [START_NS - 2 * MINUTE_NS, START_NS - MINUTE_NS]
        assert (backfill.bars[0].open, backfill.bars[0].close, backfill.bars[0].volume) == (1.0, 1.5, 3)
        assert (bench.backfiller.pending, bench.backfiller.slots_in_use, bench.clock.timers) == (0, 0, 0)
        assert "pending=0" in repr(bench.backfiller)

    run(scenario())


def test_the_exchange_is_asked_for_where_the_subscription_names_one() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap("smd+265598@NYSE"))
        assert bench.sent[0].startswith('smh+265598+{"exchange":"NYSE",')
        bench.hear(265598)
        assert bench.told[0].gap.subscription == "smd+265598@NYSE"

    run(scenario())


def test_how_far_back_is_decided_when_it_is_asked() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_gap(a_gap())
        await bench.clock.advance(7_200.0)
        bench.backfiller.on_connection_ready()
        assert '"period":"3h","bar":"1min"' in bench.sent[0]

    run(scenario())


def test_never_more_than_five_at_once() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        for conid in range(1, 21):
            bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
        assert bench.open_conids == ["1", "2", "3", "4", "5"]
        answered = 0
        while bench.backfiller.pending:
            assert len(bench.open_conids) - answered <= SLOTS
            conid = int(bench.open_conids[answered])
            bench.hear(conid, str(conid))
            answered += 1
            # A place is given back before it is taken again.
            returned = bench.sent.index(f"umh+{conid}")
            assert all(text.startswith("smh+") for text in bench.sent[returned + 1 :])
        assert bench.open_conids == [str(conid) for conid in range(1, 21)]
        assert [backfill.gap.subscription for backfill in bench.told] == [f"smd+{conid}" for conid in range(1, 21)]
        assert all(backfill.bars for backfill in bench.told)

    run(scenario())


def test_two_of_one_conid_are_asked_one_after_the_other() -> None:
    """Their answers have the same topic."""

    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        for topic in ("smd+1", "smd+1@NYSE", "smd+2", "smd+1@ARCA"):
            bench.backfiller.on_gap(a_gap(topic))
        assert bench.open_conids == ["1", "2"]
        bench.hear(1)
        assert bench.open_conids == ["1", "2", "1"]
        assert '"exchange":"NYSE"' in bench.sent[-1]
        bench.hear(2)
        bench.hear(1)
        bench.hear(1)
        assert [backfill.gap.subscription for backfill in bench.told] == [
            "smd+1",
            "smd+2",
            "smd+1@NYSE",
            "smd+1@ARCA",
        ]

    run(scenario())


def test_a_request_without_an_answer_fails_in_time_and_keeps_its_place() -> None:
    async def scenario() -> None:
        bench = Bench(timeout_s=30.0)
        bench.backfiller.on_connection_ready()
        for conid in range(1, 8):
            bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
        bench.hear(2, "2")
        assert bench.open_conids == ["1", "2", "3", "4", "5", "6"]
        await bench.clock.advance(29.0)
        assert len(bench.told) == 1
        for conid in (3, 4, 5):
            bench.hear(conid, str(conid))
        await bench.clock.advance(1.5)
        assert "did not reply to smh within 30 s" in bench.errors[4]
        assert bench.told[4].gap.subscription == "smd+1"
        # Neither asked again nor free: an answer of the first could not be told from one of the second.
        bench.backfiller.on_gap(a_gap("smd+1"))
        assert "never got a reply" in bench.errors[-1]
        bench.hear(7, "7")
        assert bench.backfiller.slots_in_use == 2
        # The late answer gives the place back, and the gap stays told.
        bench.hear(1, "1")
        assert bench.sent[-1] == "umh+1"
        bench.hear(6, "6")
        assert bench.backfiller.slots_in_use == 0
        bench.backfiller.on_gap(a_gap("smd+1"))
        bench.hear(1, "8")
        assert bench.told[-1].bars

    run(scenario())


def test_when_nothing_is_answered_everything_is_told_so() -> None:
    async def scenario() -> None:
        bench = Bench(timeout_s=30.0)
        bench.backfiller.on_connection_ready()
        for conid in range(1, 9):
            bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
        await bench.clock.advance(31.0)
        assert len(bench.open_conids) == SLOTS
        assert ["no request for history gets a reply" in error for error in bench.errors] == [False] * 5 + [True] * 3
        bench.backfiller.on_gap(a_gap("smd+9"))
        assert len(bench.told) == 9
        # The next connection has all its places.
        bench.backfiller.on_connection_lost()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap("smd+1"))
        bench.hear(1)
        assert bench.told[-1].bars

    run(scenario())


def test_an_answer_without_an_id_keeps_its_place_until_the_connection_ends() -> None:
    async def scenario() -> None:
        for server_id in (None, 5, "", "1+{}"):
            bench = Bench()
            bench.backfiller.on_connection_ready()
            bench.backfiller.on_gap(a_gap())
            bench.hear(265598, server_id)
            assert bench.told[0].bars
            assert not any(text.startswith("umh+") for text in bench.sent)
            assert bench.backfiller.slots_in_use == 1
            bench.backfiller.on_connection_lost()
            assert bench.backfiller.slots_in_use == 0

    run(scenario())


def test_a_refusal_is_tried_again_and_then_told() -> None:
    async def scenario() -> None:
        bench = Bench(retry_s=5.0)
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        for tries in (1, 2):
            bench.refuse(265598)
            assert bench.backfiller.slots_in_use == 0
            await bench.clock.advance(4.0)
            assert len(bench.sent) == tries
            await bench.clock.advance(1.5)
            assert len(bench.sent) == tries + 1
        assert bench.told == []
        bench.refuse(265598)
        assert bench.errors == ["the gateway refused the request for history, 3 times"]
        assert bench.clock.timers == bench.backfiller.pending == 0

    run(scenario())


def test_what_was_asked_on_a_lost_connection_is_asked_on_the_next() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        for conid in range(1, 8):
            bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
        bench.hear(1, "1")
        bench.backfiller.on_connection_lost()
        assert (bench.backfiller.slots_in_use, bench.clock.timers, bench.backfiller.pending) == (0, 0, 6)
        # A frame that is still on its way belongs to nothing any more.
        bench.hear(2, "2")
        assert len(bench.told) == 1
        await bench.clock.advance(120.0)
        assert bench.open_conids == ["1", "2", "3", "4", "5", "6"]
        bench.backfiller.on_connection_ready()
        assert bench.open_conids[6:] == ["2", "3", "4", "5", "6"]
        for conid in (2, 3, 4, 5, 6, 7):
            bench.hear(conid, str(conid))
        assert [backfill.gap.subscription for backfill in bench.told] == [f"smd+{conid}" for conid in range(1, 8)]

    run(scenario())


def test_a_gap_is_not_asked_for_on_one_connection_after_the_other_for_ever() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_gap(a_gap())
        for _ in range(3):
            assert bench.told == []
            bench.backfiller.on_connection_ready()
            bench.backfiller.on_connection_lost()
            bench.backfiller.on_connection_lost()
        assert bench.errors == ["the connection ended before the reply came, 3 times"]

    run(scenario())


def test_nothing_is_asked_while_the_gateway_takes_nothing() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap("smd+1"))
        bench.backfiller.on_connection_busy()
        bench.backfiller.on_gap(a_gap("smd+2"))
        assert bench.open_conids == ["1"]
        bench.hear(1)
        assert (len(bench.told), bench.open_conids) == (1, ["1"])
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_connection_ready()
        assert bench.open_conids == ["1", "2"]

    run(scenario())


@pytest.mark.parametrize(
    "gap",
    [a_gap("sor"), a_gap("smh+1"), Gap(None, 1, 2, Cause.CONSUMER_OVERFLOW, 5), a_gap(to_s=None)],
)
def test_what_is_no_finished_gap_of_market_data_is_left_alone(gap: Gap) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(gap)
        assert bench.sent == bench.told == []
        assert bench.backfiller.pending == 0

    run(scenario())


@pytest.mark.parametrize("topic", ["smd+0;;;1/1,2/-1", "smd+x", "smd+", f"smd+{10**30}"])
def test_what_has_no_history_is_told_at_once(topic: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap(topic))
        assert bench.sent == []
        assert len(bench.errors) == 1
        assert bench.backfiller.pending == bench.backfiller.slots_in_use == 0

    run(scenario())


def test_the_queue_is_bounded() -> None:
    async def scenario() -> None:
        bench = Bench(max_pending=3)
        for conid in range(1, 6):
            bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
        assert ["3 other gaps" in error for error in bench.errors] == [True, True]
        assert bench.backfiller.pending == 3

    run(scenario())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "no bars for the time"),
        (bars(5, 6), "no bars for the time"),
        ("x", "undocumented shape"),
        ([5], "undocumented shape"),
    ],
)
def test_an_answer_without_what_was_asked_for(data: Any, problem: str) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        bench.hear(265598, "7", data)
        assert problem in bench.errors[0]
        assert bench.sent[-1] == "umh+7"
        assert bench.backfiller.slots_in_use == 0

    run(scenario())


@pytest.mark.parametrize(
    "raw",
    [b'{"topic":"smh+"}', b'{"topic":"smh+8"}', b'{"topic":"smh+x"}', b'{"topic":"smh"}', b"{}", b"[]", b"x"],
)
def test_frames_that_were_not_asked_for_here_are_left_alone(raw: bytes) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        bench.backfiller.on_frame(classify(raw))
        assert bench.told == []
        assert bench.backfiller.slots_in_use == 1

    run(scenario())


def test_an_answer_that_is_not_json_is_one_of_another_shape() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        bench.backfiller.on_frame(classify(b'{"serverId":nul,"topic":"smh+265598"}'))
        assert "undocumented shape" in bench.errors[0]
        assert bench.backfiller.slots_in_use == 1

    run(scenario())


def test_closing_answers_for_everything_that_waits() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.backfiller.on_connection_ready()
        for conid in range(1, 9):
            bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
        bench.refuse(1)
        bench.backfiller.close()
        bench.backfiller.close()
        assert sorted(str(backfill.gap.subscription) for backfill in bench.told) == [
            f"smd+{conid}" for conid in range(1, 9)
        ]
        assert {"was closed" in error for error in bench.errors} == {True}
        assert (bench.backfiller.pending, bench.backfiller.slots_in_use, bench.clock.timers) == (0, 0, 0)
        bench.backfiller.on_gap(a_gap())
        bench.hear(2)
        bench.backfiller.on_connection_ready()
        assert len(bench.told) == 8
        await bench.backfiller.wait_closed()

    run(scenario())


# --- over REST ------------------------------------------------------------------------------------


def test_over_rest_five_at_once() -> None:
    async def scenario() -> None:
        bench = Bench("rest")
        bench.backfiller.on_connection_ready()
        for conid in range(1, 8):
            bench.backfiller.on_gap(a_gap(f"smd+{conid}@NYSE"))
        await settle()
        assert bench.asked == [(conid, "NYSE", "3min", "1min") for conid in range(1, 6)]
        for answer in bench.answers:
            answer.set_result(History.parse({"data": bars(-2)}))
        await settle()
        for answer in bench.answers[5:]:
            answer.set_result(History.parse({"data": bars(-1)}))
        await settle()
        assert [backfill.gap.subscription for backfill in bench.told] == [f"smd+{conid}@NYSE" for conid in range(1, 8)]
        assert {backfill.source for backfill in bench.told} == {"rest"}
        assert bench.sent == []
        assert bench.backfiller.slots_in_use == bench.backfiller.pending == 0

    run(scenario())


@pytest.mark.parametrize(
    ("error", "delay_s"),
    [
        (ConnectError("nobody there"), 5.0),
        (StatusError("a 503", status=503), 5.0),
        (RateLimitedError("a 429", retry_after_s=900.0), 900.0),
    ],
)
def test_over_rest_what_may_pass_is_tried_again(error: Exception, delay_s: float) -> None:
    async def scenario() -> None:
        bench = Bench("rest", retry_s=5.0)
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        for tries in (1, 2, 3):
            await settle()
            assert len(bench.asked) == tries
            bench.answers[-1].set_exception(error)
            await settle()
            await bench.clock.advance(delay_s - 0.5)
            assert len(bench.asked) == tries
            await bench.clock.advance(1.0)
        assert bench.errors == [f"{error}, 3 times"]
        assert bench.backfiller.slots_in_use == bench.clock.timers == 0

    run(scenario())


def test_over_rest_what_does_not_pass_is_told_at_once() -> None:
    async def scenario() -> None:
        bench = Bench("rest")
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        await settle()
        bench.answers[0].set_exception(StatusError("a 404", status=404))
        await settle()
        assert bench.errors == ["a 404"]

    run(scenario())


def test_over_rest_a_fault_of_ours_is_told_to_the_loop_and_costs_one_gap() -> None:
    async def scenario() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
        bench = Bench("rest")
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        await settle()
        bench.answers[0].set_exception(KeyError("x"))
        await settle()
        assert [type(context["exception"]) for context in reported] == [KeyError]
        assert "KeyError" in bench.errors[0]
        assert bench.backfiller.slots_in_use == bench.backfiller.pending == 0

    run(scenario())


def test_over_rest_a_lost_connection_changes_nothing_for_what_is_under_way() -> None:
    async def scenario() -> None:
        bench = Bench("rest")
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap("smd+1"))
        await settle()
        bench.backfiller.on_connection_lost()
        bench.backfiller.on_gap(a_gap("smd+2"))
        bench.answers[0].set_result(History.parse({"data": bars(-2)}))
        await settle()
        assert len(bench.asked) == len(bench.told) == 1
        bench.backfiller.on_connection_ready()
        await settle()
        assert len(bench.asked) == 2

    run(scenario())


@pytest.mark.parametrize("has_begun", [False, True])
def test_over_rest_closing_ends_what_is_under_way(has_begun: bool) -> None:
    async def scenario() -> None:
        bench = Bench("rest")
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        if has_begun:
            await settle()
        bench.backfiller.close()
        await bench.backfiller.wait_closed()
        assert len(bench.errors) == 1
        assert "was closed" in bench.errors[0]
        assert bench.backfiller.slots_in_use == bench.backfiller.pending == 0

    run(scenario())


def test_over_rest_a_request_that_fails_because_it_was_ended_is_told_once() -> None:
    async def request(*_args: object, **_options: object) -> History:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            raise ConnectError("ended") from None
        raise AssertionError("nobody ended it")

    async def scenario() -> None:
        clock = HandClock()
        told: list[Backfill] = []
        backfiller = Backfiller("rest", clock=clock, send=str, request=request, on_backfill=told.append)
        backfiller.on_connection_ready()
        backfiller.on_gap(a_gap())
        await settle()
        backfiller.close()
        await backfiller.wait_closed()
        assert len(told) == 1
        assert backfiller.pending == clock.timers == 0

    run(scenario())
