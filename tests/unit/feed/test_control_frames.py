"""Control frames: what is read from them, and that one of any size costs a bounded amount of work."""

from __future__ import annotations

import pytest

from cpapi_fast.feed.driver.control_frames import (
    MAX_CONTROL_BYTES,
    SessionFlags,
    channel_of,
    is_error,
    payload_of,
    read_status,
)
from cpapi_fast.frames.frame import Frame, FrameCounters
from tests.support.batches import batch_of

LONG = b"x" * MAX_CONTROL_BYTES


def frame_of(payload: bytes) -> Frame:
    return batch_of([payload])[0]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"error":"no bridge","code":500}', True),
        (b'{"topic":"error","code":500}', True),
        (b'{"result":"error"}', False),
        (b'{"message":"error"}', False),
        (b'{"topic":"ntf","args":{"error":"x"}}', False),
        (b"[1, 2]", False),
        (b"not JSON", False),
        (b'{"error":"' + LONG + b'"}', True),
        (b'{"message":"' + LONG + b'"}', False),
        (b'{"topic":"ntf","error":"' + LONG + b'"}', False),
        (b'{"error":"' + LONG + b'","topic":"error"}', True),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else str(value),
)
def test_error_frames_are_found_whatever_their_size(payload: bytes, expected: bool) -> None:
    assert is_error(frame_of(payload)) is expected


def test_a_large_frame_is_not_decoded() -> None:
    """A decoded frame that is not JSON counts as an error of its payload."""
    counters = FrameCounters()
    payload = b'{"topic":"sts","args":{"authenticated":false},"x":"' + LONG
    large, small = batch_of([payload, payload[:80]], counters=counters)
    assert payload_of(large) == {}
    assert read_status(payload_of(large)) == SessionFlags(None, None, None)
    assert channel_of(large.topic) == "sts"
    assert not is_error(large)
    assert counters.payload_errors == 0
    assert payload_of(small) == {}
    assert counters.payload_errors == 1


def test_the_channel_of_a_topic_needs_no_payload() -> None:
    assert channel_of(None) is None
    assert channel_of("sts") == "sts"
    assert channel_of("smd+265598+{}") == "smd"
