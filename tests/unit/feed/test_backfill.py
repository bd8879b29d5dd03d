"""Backfiller: when requests are sent, how slots at the gateway are used, and that every gap gets one Backfill."""

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
from tests.support.clocks import START_NS, HandClock, settle

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
START_MS = START_NS // 1_000_000


def a_gap(topic: str = "smd+265598", *, from_s: float = -90.0, to_s: float | None = -5.0) -> Gap:
    first_good_ns = None if to_s is None else START_NS + int(to_s * SECOND_NS)
    return Gap(topic, START_NS + int(from_s * SECOND_NS), first_good_ns, Cause.CONNECTION_LOST)


def bars(*minutes: int) -> list[dict[str, float]]:
    return [{"o": 1.0, "c": 1.5, "h": 2.0, "l": 0.5, "v": 3, "t": START_MS + minute * 60_000} for minute in minutes]


class Bench:
    """A backfiller, what it sent, and what it reported."""

    def __init__(self, source: Any = "smh", **options: Any) -> None:
        self.clock = HandClock()
        self.sent: list[str] = []
        self.reported: list[Backfill] = []
        self.requested: list[tuple[int, str | None, str, str]] = []
        self.responses: list[asyncio.Future[History]] = []
        self.backfiller = Backfiller(
            source,
            clock=self.clock,
            send=self.sent.append,
            request=self.request,
            on_backfill=self.reported.append,
            **options,
        )

    def request(
        self, conid: int, *, period: str, bar: str, exchange: str | None, outside_rth: bool
    ) -> Awaitable[History]:
        assert outside_rth
        self.requested.append((conid, exchange, period, bar))
        answer: asyncio.Future[History] = asyncio.get_running_loop().create_future()
        self.responses.append(answer)
        return answer

    def reply(self, conid: int, server_id: object = "1", data: object = None, **members: object) -> None:
        """A reply of the gateway."""
        payload = {"serverId": server_id, "barLength": 60, "data": bars(-2, -1) if data is None else data}
        self.backfiller.on_frame(classify(orjson.dumps(payload | members | {"topic": f"smh+{conid}"})))

    def refuse(self, conid: int) -> None:
        body = {"error": "too many history requests", "code": 500, "topic": f"smh+{conid}"}
        self.backfiller.on_frame(classify(orjson.dumps(body)))

    @property
    def open_conids(self) -> list[str]:
        """The conids of the requests, in order."""
        return [text.split("+")[1] for text in self.sent if text.startswith("smh+")]

    @property
    def errors(self) -> list[str]:
        assert all((backfill.error is None) == bool(backfill.bars) for backfill in self.reported)
        return [str(backfill.error) for backfill in self.reported]


# --- over the socket ------------------------------------------------------------------------------


async def test_a_gap_gets_its_bars_and_its_slot_is_given_back() -> None:
    bench = Bench()
    gap = a_gap()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(gap)
    assert bench.sent == [
        'smh+265598+{"period":"3min","bar":"1min","outsideRth":true,"source":"trades","format":"%o/%c/%h/%l/%v"}'
    ]
    assert (bench.backfiller.pending, bench.backfiller.slots_in_use) == (1, 1)
    bench.reply(265598, "340001", bars(-3, -2, -1, 0))
    assert bench.sent[1:] == ["umh+340001"]
    (backfill,) = bench.reported
    assert (backfill.gap, backfill.source, backfill.error) == (gap, "smh", None)
    # From the bar with the last good frame to the bar with the first good one.
    assert [bar.start_ns for bar in backfill.bars] == [START_NS - 2 * MINUTE_NS, START_NS - MINUTE_NS]
    assert (backfill.bars[0].open, backfill.bars[0].close, backfill.bars[0].volume) == (1.0, 1.5, 3)
    assert (bench.backfiller.pending, bench.backfiller.slots_in_use, bench.clock.timers) == (0, 0, 0)
    assert "pending=0" in repr(bench.backfiller)


async def test_the_request_has_the_exchange_of_the_subscription() -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap("smd+265598@NYSE"))
    assert bench.sent[0].startswith('smh+265598+{"exchange":"NYSE",')
    bench.reply(265598)
    assert bench.reported[0].gap.subscription == "smd+265598@NYSE"


async def test_the_period_depends_on_the_time_of_the_request() -> None:
    bench = Bench()
    bench.backfiller.on_gap(a_gap())
    await bench.clock.advance(7_200.0)
    bench.backfiller.on_connection_ready()
    assert '"period":"3h","bar":"1min"' in bench.sent[0]


async def test_at_most_five_requests_at_once() -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    for conid in range(1, 21):
        bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
    assert bench.open_conids == ["1", "2", "3", "4", "5"]
    answered = 0
    while bench.backfiller.pending:
        assert len(bench.open_conids) - answered <= SLOTS
        conid = int(bench.open_conids[answered])
        bench.reply(conid, str(conid))
        answered += 1
        # A slot is given back before it is taken again.
        returned = bench.sent.index(f"umh+{conid}")
        assert all(text.startswith("smh+") for text in bench.sent[returned + 1 :])
    assert bench.open_conids == [str(conid) for conid in range(1, 21)]
    assert [backfill.gap.subscription for backfill in bench.reported] == [f"smd+{conid}" for conid in range(1, 21)]
    assert all(backfill.bars for backfill in bench.reported)


async def test_requests_for_one_conid_are_sent_one_after_the_other() -> None:
    """Their replies have the same topic."""

    bench = Bench()
    bench.backfiller.on_connection_ready()
    for topic in ("smd+1", "smd+1@NYSE", "smd+2", "smd+1@ARCA"):
        bench.backfiller.on_gap(a_gap(topic))
    assert bench.open_conids == ["1", "2"]
    bench.reply(1)
    assert bench.open_conids == ["1", "2", "1"]
    assert '"exchange":"NYSE"' in bench.sent[-1]
    bench.reply(2)
    bench.reply(1)
    bench.reply(1)
    assert [backfill.gap.subscription for backfill in bench.reported] == [
        "smd+1",
        "smd+2",
        "smd+1@NYSE",
        "smd+1@ARCA",
    ]


async def test_a_request_without_a_reply_times_out_and_keeps_its_slot() -> None:
    bench = Bench(timeout_s=30.0)
    bench.backfiller.on_connection_ready()
    for conid in range(1, 8):
        bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
    bench.reply(2, "2")
    assert bench.open_conids == ["1", "2", "3", "4", "5", "6"]
    await bench.clock.advance(29.0)
    assert len(bench.reported) == 1
    for conid in (3, 4, 5):
        bench.reply(conid, str(conid))
    await bench.clock.advance(1.5)
    assert "did not reply to smh within 30 s" in bench.errors[4]
    assert bench.reported[4].gap.subscription == "smd+1"
    # Not requested again: replies to the first and the second request could not be distinguished.
    bench.backfiller.on_gap(a_gap("smd+1"))
    assert "never got a reply" in bench.errors[-1]
    bench.reply(7, "7")
    assert bench.backfiller.slots_in_use == 2
    # The late reply gives the slot back; the Backfill with the error stays.
    bench.reply(1, "1")
    assert bench.sent[-1] == "umh+1"
    bench.reply(6, "6")
    assert bench.backfiller.slots_in_use == 0
    bench.backfiller.on_gap(a_gap("smd+1"))
    bench.reply(1, "8")
    assert bench.reported[-1].bars


async def test_without_any_reply_every_gap_gets_an_error() -> None:
    bench = Bench(timeout_s=30.0)
    bench.backfiller.on_connection_ready()
    for conid in range(1, 9):
        bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
    await bench.clock.advance(31.0)
    assert len(bench.open_conids) == SLOTS
    assert ["no request for history gets a reply" in error for error in bench.errors] == [False] * 5 + [True] * 3
    bench.backfiller.on_gap(a_gap("smd+9"))
    assert len(bench.reported) == 9
    # On the next connection all slots are free.
    bench.backfiller.on_connection_lost()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap("smd+1"))
    bench.reply(1)
    assert bench.reported[-1].bars


async def test_a_reply_without_an_id_keeps_its_slot_until_the_connection_ends() -> None:
    for server_id in (None, 5, "", "1+{}"):
        bench = Bench()
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_gap(a_gap())
        bench.reply(265598, server_id)
        assert bench.reported[0].bars
        assert not any(text.startswith("umh+") for text in bench.sent)
        assert bench.backfiller.slots_in_use == 1
        bench.backfiller.on_connection_lost()
        assert bench.backfiller.slots_in_use == 0


async def test_a_refused_request_is_retried_and_then_fails() -> None:
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
    assert bench.reported == []
    bench.refuse(265598)
    assert bench.errors == ['the gateway refused the request for history: "too many history requests", 3 times']
    assert bench.clock.timers == bench.backfiller.pending == 0


async def test_requests_of_a_lost_connection_are_repeated_on_the_next() -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    for conid in range(1, 8):
        bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
    bench.reply(1, "1")
    bench.backfiller.on_connection_lost()
    assert (bench.backfiller.slots_in_use, bench.clock.timers, bench.backfiller.pending) == (0, 0, 6)
    # A late reply belongs to no request any more.
    bench.reply(2, "2")
    assert len(bench.reported) == 1
    await bench.clock.advance(120.0)
    assert bench.open_conids == ["1", "2", "3", "4", "5", "6"]
    bench.backfiller.on_connection_ready()
    assert bench.open_conids[6:] == ["2", "3", "4", "5", "6"]
    for conid in (2, 3, 4, 5, 6, 7):
        bench.reply(conid, str(conid))
    assert [backfill.gap.subscription for backfill in bench.reported] == [f"smd+{conid}" for conid in range(1, 8)]


async def test_a_gap_fails_after_requests_on_three_connections() -> None:
    bench = Bench()
    bench.backfiller.on_gap(a_gap())
    for _ in range(3):
        assert bench.reported == []
        bench.backfiller.on_connection_ready()
        bench.backfiller.on_connection_lost()
        bench.backfiller.on_connection_lost()
    assert bench.errors == ["the connection ended before the reply came, 3 times"]


async def test_no_request_is_sent_while_the_gateway_accepts_no_subscribes() -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap("smd+1"))
    bench.backfiller.on_connection_busy()
    bench.backfiller.on_gap(a_gap("smd+2"))
    assert bench.open_conids == ["1"]
    bench.reply(1)
    assert (len(bench.reported), bench.open_conids) == (1, ["1"])
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_connection_ready()
    assert bench.open_conids == ["1", "2"]


@pytest.mark.parametrize(
    "gap",
    [a_gap("sor"), a_gap("smh+1"), Gap(None, 1, 2, Cause.CONSUMER_OVERFLOW, 5), a_gap(to_s=None)],
)
async def test_only_finished_gaps_of_market_data_are_filled(gap: Gap) -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(gap)
    assert bench.sent == bench.reported == []
    assert bench.backfiller.pending == 0


@pytest.mark.parametrize("topic", ["smd+0;;;1/1,2/-1", "smd+x", "smd+", f"smd+{10**30}"])
async def test_a_gap_without_history_fails_at_once(topic: str) -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap(topic))
    assert bench.sent == []
    assert len(bench.errors) == 1
    assert bench.backfiller.pending == bench.backfiller.slots_in_use == 0


async def test_the_number_of_pending_gaps_is_bounded() -> None:
    bench = Bench(max_pending=3)
    for conid in range(1, 6):
        bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
    assert ["3 other gaps" in error for error in bench.errors] == [True, True]
    assert bench.backfiller.pending == 3


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "no bars for the time"),
        (bars(5, 6), "no bars for the time"),
        ("x", "undocumented shape"),
        ([5], "undocumented shape"),
    ],
)
async def test_a_reply_without_usable_bars(data: Any, problem: str) -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap())
    bench.reply(265598, "7", data)
    assert problem in bench.errors[0]
    assert bench.sent[-1] == "umh+7"
    assert bench.backfiller.slots_in_use == 0


@pytest.mark.parametrize(
    "raw",
    [b'{"topic":"smh+"}', b'{"topic":"smh+8"}', b'{"topic":"smh+x"}', b'{"topic":"smh"}', b"{}", b"[]", b"x"],
)
async def test_replies_to_other_requests_are_ignored(raw: bytes) -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap())
    bench.backfiller.on_frame(classify(raw))
    assert bench.reported == []
    assert bench.backfiller.slots_in_use == 1


async def test_a_reply_that_is_not_json_has_an_undocumented_shape() -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap())
    bench.backfiller.on_frame(classify(b'{"serverId":nul,"topic":"smh+265598"}'))
    assert "undocumented shape" in bench.errors[0]
    assert bench.backfiller.slots_in_use == 1


async def test_closing_fails_every_pending_gap() -> None:
    bench = Bench()
    bench.backfiller.on_connection_ready()
    for conid in range(1, 9):
        bench.backfiller.on_gap(a_gap(f"smd+{conid}"))
    bench.refuse(1)
    bench.backfiller.close()
    bench.backfiller.close()
    assert sorted(str(backfill.gap.subscription) for backfill in bench.reported) == [
        f"smd+{conid}" for conid in range(1, 9)
    ]
    assert {"was closed" in error for error in bench.errors} == {True}
    assert (bench.backfiller.pending, bench.backfiller.slots_in_use, bench.clock.timers) == (0, 0, 0)
    bench.backfiller.on_gap(a_gap())
    bench.reply(2)
    bench.backfiller.on_connection_ready()
    assert len(bench.reported) == 8
    await bench.backfiller.wait_closed()


# --- over REST ------------------------------------------------------------------------------------


async def test_over_rest_at_most_five_requests_at_once() -> None:
    bench = Bench("rest")
    bench.backfiller.on_connection_ready()
    for conid in range(1, 8):
        bench.backfiller.on_gap(a_gap(f"smd+{conid}@NYSE"))
    await settle()
    assert bench.requested == [(conid, "NYSE", "3min", "1min") for conid in range(1, 6)]
    for answer in bench.responses:
        answer.set_result(History.parse({"data": bars(-2)}))
    await settle()
    for answer in bench.responses[5:]:
        answer.set_result(History.parse({"data": bars(-1)}))
    await settle()
    assert [backfill.gap.subscription for backfill in bench.reported] == [f"smd+{conid}@NYSE" for conid in range(1, 8)]
    assert {backfill.source for backfill in bench.reported} == {"rest"}
    assert bench.sent == []
    assert bench.backfiller.slots_in_use == bench.backfiller.pending == 0


@pytest.mark.parametrize(
    ("error", "delay_s"),
    [
        (ConnectError("no server"), 5.0),
        (StatusError("a 503", status=503), 5.0),
        (RateLimitedError("a 429", retry_after_s=900.0), 900.0),
    ],
)
async def test_over_rest_a_temporary_error_is_retried(error: Exception, delay_s: float) -> None:
    bench = Bench("rest", retry_s=5.0)
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap())
    for tries in (1, 2, 3):
        await settle()
        assert len(bench.requested) == tries
        bench.responses[-1].set_exception(error)
        await settle()
        await bench.clock.advance(delay_s - 0.5)
        assert len(bench.requested) == tries
        await bench.clock.advance(1.0)
    assert bench.errors == [f"{error}, 3 times"]
    assert bench.backfiller.slots_in_use == bench.clock.timers == 0


async def test_over_rest_a_permanent_error_fails_at_once() -> None:
    bench = Bench("rest")
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap())
    await settle()
    bench.responses[0].set_exception(StatusError("a 404", status=404))
    await settle()
    assert bench.errors == ["a 404"]


async def test_over_rest_an_unexpected_error_is_reported_to_the_loop_and_fails_one_gap() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    bench = Bench("rest")
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap())
    await settle()
    bench.responses[0].set_exception(KeyError("x"))
    await settle()
    assert [type(context["exception"]) for context in reported] == [KeyError]
    assert "KeyError" in bench.errors[0]
    assert bench.backfiller.slots_in_use == bench.backfiller.pending == 0


async def test_over_rest_a_lost_connection_does_not_affect_requests_under_way() -> None:
    bench = Bench("rest")
    bench.backfiller.on_connection_ready()
    bench.backfiller.on_gap(a_gap("smd+1"))
    await settle()
    bench.backfiller.on_connection_lost()
    bench.backfiller.on_gap(a_gap("smd+2"))
    bench.responses[0].set_result(History.parse({"data": bars(-2)}))
    await settle()
    assert len(bench.requested) == len(bench.reported) == 1
    bench.backfiller.on_connection_ready()
    await settle()
    assert len(bench.requested) == 2
    bench.backfiller.close()
    await bench.backfiller.wait_closed()


@pytest.mark.parametrize("has_begun", [False, True])
async def test_over_rest_closing_cancels_requests_under_way(has_begun: bool) -> None:
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


async def test_over_rest_a_request_that_fails_because_of_close_is_reported_once() -> None:
    async def request(*_args: object, **_options: object) -> History:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            raise ConnectError("ended") from None
        raise AssertionError("it was not cancelled")

    clock = HandClock()
    backfills: list[Backfill] = []
    backfiller = Backfiller("rest", clock=clock, send=str, request=request, on_backfill=backfills.append)
    backfiller.on_connection_ready()
    backfiller.on_gap(a_gap())
    await settle()
    backfiller.close()
    await backfiller.wait_closed()
    assert len(backfills) == 1
    assert backfiller.pending == clock.timers == 0
