"""The ledger finds every kind of contradiction."""

from __future__ import annotations

import pytest

from cpapi_fast.events import Cause, Gap
from cpapi_fast.simulator import SentFrame

from .ledger import Ledger

A, B = "smd+1", "smd+2"


def sent(*numbers: int, connection: int = 1, topic: str = A) -> list[SentFrame]:
    return [SentFrame(n * 10, connection, topic, b"%d" % n) for n in numbers]


def gap(last: int, first: int | None, *, topic: str | None = A) -> Gap:
    return Gap(topic, last * 10 + 1, None if first is None else first * 10 + 1, Cause.CONNECTION_LOST)


class ShortLedger:
    """A ledger with short methods for tests."""

    def __init__(self, *frames: SentFrame) -> None:
        self.ledger = Ledger([A, B])
        self.ledger.sent(frames)

    def got(self, *numbers: int, topic: str = A) -> ShortLedger:
        for number in numbers:
            self.ledger.delivered(topic, b"%d" % number, number * 10 + 1)
        return self

    def gap(self, last: int, first: int | None, topic: str | None = A) -> ShortLedger:
        self.ledger.reported(gap(last, first, topic=topic))
        return self

    @property
    def problems(self) -> list[str]:
        self.ledger.finish()
        return self.ledger.problems


def test_complete_delivery_has_no_problem() -> None:
    short = ShortLedger(*sent(1, 2), *sent(3, topic=B), *sent(4)).got(1, 2).got(3, topic=B).got(4)
    assert short.ledger.settled()
    assert short.problems == []
    assert short.ledger.accounts[A].delivered == 3


def test_frames_lost_inside_a_gap_are_no_problem() -> None:
    short = ShortLedger(*sent(1, 2, 3), *sent(4, 5, connection=2)).got(1).gap(1, 5).got(5)
    assert short.problems == []
    assert short.ledger.accounts[A].lost == 3
    assert short.ledger.accounts[A].gaps == {Cause.CONNECTION_LOST: 1}


def test_a_gap_begins_where_the_data_ended() -> None:
    """A snapshot may be one of a stopped stream, and a late frame's data is older than its receive time."""
    for repeated in (b'{"_updated":5,"6509":"R"}', b'{"_updated":5,"31":"3"}'):
        check_begin_of_a_gap([b'{"_updated":5,"31":"1"}', repeated, b'{"_updated":6,"31":"2"}'])


def check_begin_of_a_gap(payloads: list[bytes]) -> None:
    frames = [SentFrame(10 * number, 1, A, payload) for number, payload in enumerate(payloads, 1)]
    for last_ns, is_right in ((11, True), (21, True), (10, False), (22, False)):
        ledger = Ledger([A])
        ledger.sent(frames)
        ledger.delivered(A, payloads[0], 11)
        ledger.delivered(A, payloads[1], 21)
        ledger.reported(Gap(A, last_ns, 35, Cause.CONNECTION_LOST))
        ledger.delivered(A, payloads[2], 35, 3)
        ledger.reported(Gap(A, 32, None, Cause.CONNECTION_LOST))
        ledger.finish()
        assert (ledger.problems == []) is is_right, ledger.problems


def test_a_gap_without_lost_frames_is_counted() -> None:
    short = ShortLedger(*sent(1, 2)).got(1).gap(1, 2).got(2)
    assert short.problems == []
    assert short.ledger.accounts[A].empty_gaps == 1


def test_frames_written_to_an_abandoned_socket_are_not_lost() -> None:
    frames = [*sent(1, 2), *sent(3, connection=2), *sent(4), *sent(5, connection=2), *sent(6)]
    short = ShortLedger(*frames).got(1).gap(1, 3).got(3, 5)
    assert short.ledger.settled()
    assert short.problems == []
    assert (short.ledger.accounts[A].lost, short.ledger.accounts[A].abandoned) == (1, 2)


@pytest.mark.parametrize("is_new_first", [False, True])
def test_a_frame_that_is_written_to_two_sockets_is_that_of_the_newer_one(is_new_first: bool) -> None:
    both = [frame for n in (2, 3) for frame in (*sent(n), *sent(n, connection=2))[:: -1 if is_new_first else 1]]
    short = ShortLedger(*sent(1), *both).got(1).gap(1, 2).got(2, 3)
    assert short.problems == []
    assert short.ledger.accounts[A].connection == 2
    # A frame of the newer socket that is lost is found, although the older one got it too.
    short = ShortLedger(*sent(1), *both).got(1).gap(1, 2).got(2)
    assert short.problems == [f"{A}: the last 1 frames are lost without a gap"]


@pytest.mark.parametrize(
    ("short", "problem"),
    [
        (ShortLedger(*sent(1, 2, 3)).got(1, 3), "1 frames lost without a gap"),
        (ShortLedger(*sent(1, 2, 3)).got(1, 2), "the last 1 frames are lost without a gap"),
        (ShortLedger(*sent(1, 2)).got(2, 1), "out of order"),
        (ShortLedger(*sent(1)).got(1, 1), "twice"),
        (ShortLedger(*sent(1, 2)).got(1, 7), "never written"),
        (ShortLedger(*sent(1, 2, 3)).got(1).gap(0, 3).got(3), "from the last frame"),
        (ShortLedger(*sent(1, 2, 3)).got(1).gap(1, 4).got(3), "first_good_ns"),
        (ShortLedger(*sent(1, 2, 3)).got(1).gap(1, None).got(3), "first_good_ns"),
        (ShortLedger(*sent(1)).gap(2, 1).got(1), "ends before it begins"),
        (ShortLedger(*sent(1, 2)).got(1).gap(1, 2), "a gap without a frame after it"),
        (ShortLedger(*sent(1, 3)).got(1).gap(1, 2).gap(1, 3).got(3), "a gap without a frame after it"),
        (ShortLedger(*sent(1)).gap(1, 2, None).got(1), "a gap of no subscription"),
        (ShortLedger(*sent(1), *sent(2, connection=2)).got(1, 2), "continues with connection 2 without a gap"),
        # The gap of another subscription does not count.
        (ShortLedger(*sent(1, 2, 3)).got(1).gap(1, 3, B).got(3), "1 frames lost without a gap"),
    ],
)
def test_every_contradiction_is_found(short: ShortLedger, problem: str) -> None:
    assert problem in "\n".join(short.problems)


def test_frames_lost_at_the_end_need_a_gap_without_an_end() -> None:
    assert ShortLedger(*sent(1, 2)).got(1).gap(1, None).problems == []


def test_topics_without_a_subscription_are_ignored() -> None:
    short = ShortLedger(*sent(1), *sent(2, topic="system")).got(1).got(9, topic="system").gap(1, 2, "sor")
    assert short.problems == []


def test_foreign_frames_are_allowed_by_name() -> None:
    ledger = Ledger([A], foreign=[b"strange"])
    ledger.sent(sent(1))
    ledger.delivered(A, b"1", 11)
    ledger.delivered(A, b"strange", 12)
    ledger.finish()
    assert ledger.problems == []
