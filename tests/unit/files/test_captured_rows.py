"""Rows of the stream and of the captures: the same as counting the frames one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.events import Cause, Gap
from cpapi_fast.files.captured_rows import CapturedRows, DroppedFrames


@given(st.lists(st.booleans(), max_size=40), st.randoms())
def test_rows_are_those_of_frames_that_are_counted_one_by_one(kept: list[bool], rng: object) -> None:
    rows, spans, start = CapturedRows(), [], None
    for row, is_kept in enumerate([*kept, True]):
        if not is_kept and start is None:
            start = row
        elif is_kept and start is not None:
            spans.append(DroppedFrames(start, row - start, Gap(None, 1, 2, Cause.CONSUMER_OVERFLOW, row - start)))
            start = None
    rng.shuffle(spans)  # type: ignore[attr-defined]
    for span in spans:
        rows.add(span)
    assert [one.first_row for one in rows.dropped] == sorted(one.first_row for one in spans)
    assert [rows.captured(row) for row in range(len(kept) + 1)] == [sum(kept[:row]) for row in range(len(kept) + 1)]
    streamed = [row for row, is_kept in enumerate(kept) if is_kept]
    assert [rows.streamed(frame) for frame in range(len(streamed))] == streamed


LINE = {
    "type": "output_gap",
    "output": "capture",
    "frames_dropped": 3,
    "first_row": 5,
    "last_good_ns": 1,
    "first_good_ns": None,
}


def test_only_dropped_frames_of_the_capture_are_missing_in_it() -> None:
    gap = Gap(None, 1, None, Cause.CONSUMER_OVERFLOW, 3)
    assert DroppedFrames.of(LINE) == DroppedFrames(5, 3, gap)
    assert DroppedFrames.of({**LINE, "output": "quotes"}) is None
    assert DroppedFrames.of({**LINE, "type": "gap"}) is None
    # Only events were dropped.
    assert DroppedFrames.of({**LINE, "frames_dropped": 0, "last_good_ns": None}) is None


@pytest.mark.parametrize("key", ["frames_dropped", "first_row", "last_good_ns", "first_good_ns"])
@pytest.mark.parametrize("value", [-1, 1 << 63, "1", 1.5, True])
def test_a_line_with_a_wrong_number_is_an_error(key: str, value: object) -> None:
    with pytest.raises(ValueError, match="is no whole number from 0 on"):
        DroppedFrames.of({**LINE, key: value})
