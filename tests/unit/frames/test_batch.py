"""batch.pyx: frames own their bytes, batches lend them, and neither shows them where they do not belong."""

from __future__ import annotations

import copy
import ctypes
import gc
import itertools
import pickle
import sys
import weakref

import orjson
import pytest

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.frames.batch import Batch, BatchBuilder, slice_of
from cpapi_fast.frames.frame import Frame, FrameCounters, classify
from cpapi_fast.protocol.kinds import FrameKind
from tests.support import frames
from tests.support.batches import batch_of

RECEIVED_NS = 1_767_225_600_000_000_001

SMD = b'{"server_id":"q1","31":"187.05","topic":"smd+8314"}'
SOR = b'{"topic":"sor","args":[{"acct":"U1234567"}]}'
ESCAPED = b'{"t\\u006fpic":"smd\\u002b0;;;1/1"}'
NO_TOPIC = b'{"message":"waiting for session"}'
CUT = b'{"topic":"sor","args":['
NOT_UTF8 = b'{"topic":"str","args":["\x99"]}'

TEXTS = [SMD, b"", SOR, b"{}", ESCAPED, NO_TOPIC, b"ech+hb", CUT]


def address_of(view: memoryview) -> int:
    """The address of a read-only view. ctypes accepts writable memory only, so this uses the C API."""

    class Buffer(ctypes.Structure):
        _fields_ = [
            ("buf", ctypes.c_void_p),
            ("obj", ctypes.py_object),
            ("len", ctypes.c_ssize_t),
            ("itemsize", ctypes.c_ssize_t),
            ("readonly", ctypes.c_int),
            ("ndim", ctypes.c_int),
            ("rest", ctypes.c_void_p * 5),
        ]

    buffer = Buffer()
    get, release = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
    get.argtypes = (ctypes.py_object, ctypes.POINTER(Buffer), ctypes.c_int)
    release.argtypes = (ctypes.POINTER(Buffer),)
    release.restype = None
    get(view, ctypes.byref(buffer), 0)
    address = buffer.buf
    release(ctypes.byref(buffer))
    return address or 0


# --- frames -----------------------------------------------------------------------------------------------------


def test_market_data_frame():
    frame = classify(SMD)
    assert frame.kind is FrameKind.MARKET_DATA
    assert frame.kind.label == "market_data"
    assert (frame.topic, frame.channel, frame.conid, frame.target) == ("smd+8314", "smd", 8314, None)
    assert frame.raw == SMD
    assert len(frame) == len(SMD)
    assert frame.received_ns == 0
    assert frame.payload == {"server_id": "q1", "31": "187.05", "topic": "smd+8314"}
    assert frame.error is None


@pytest.mark.parametrize("label", [kind.label for kind in frames.VALID])
def test_fixtures(label: str):
    for text in frames.VALID[FrameKind[label.upper()]]:
        for strict in (False, True):
            frame = classify(text, strict=strict)
            assert frame.kind.label == label, text
            assert frame.payload == orjson.loads(text)


@pytest.mark.parametrize(
    ("topic", "conid", "target"),
    [
        ("smd+8314", 8314, None),
        ("smd+0", 0, None),
        ("smd+007", 7, None),
        ("smd+8314@NYSE", 8314, "8314@NYSE"),
        ("smd+007@NYSE", 7, "007@NYSE"),
        ("smd+0;;;495512557/1,497222760/-1", 0, "0;;;495512557/1,497222760/-1"),
        ("smd+28812380;;;1/1", 28812380, "28812380;;;1/1"),
        ("smd+8314@É", 8314, "8314@É"),
        ("smd+8314@", None, None),
        ("sor", None, None),
        ("spl+U1234567", None, None),
    ],
)
@pytest.mark.parametrize("form", ['{"topic":"%s"}', '{"t\\u006fpic":"%s"}', '{"a":1,"topic":"%s" }'])
def test_conid_and_target(form: str, topic: str, conid: int | None, target: str | None):
    for strict in (False, True):
        frame = classify((form % topic).encode(), strict=strict)
        assert (frame.topic, frame.conid, frame.target) == (topic, conid, target)


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        (b'{"topic":"sts","args":{}}', "sts"),
        (b'{"topic":"smh+8314"}', "smh"),
        (b'{"topic":"sbd+DU1234567+8314"}', "sbd"),
        (b'{"topic":"ssd+DU1234567"}', "ssd"),
        (b'{"topic":"system","hb":1}', "system"),
        (b'{"topic":"error","error":"x"}', "error"),
        (b'{"error":"unable to subscribe","code":500,"topic":"sor"}', "sor"),
        (b'{"topic":""}', ""),
        (b'{"topic":"+x"}', ""),
        (b'{"message":"m","result":"r","error":"e"}', "error"),
        (b'{"message":"m","result":"r"}', "result"),
        (b'{"message":null}', "message"),
        (b'{"topic":7,"message":"m"}', "message"),
        (b'{"args":{"error":"e"}}', None),
        (b'["error"]', None),
        (b'"error"', None),
        (b"null", None),
        (b"{ }", None),
        (b"{}", None),
        (b"", None),
        (b"ech+hb", None),
        (b'{"error":"e"', None),
    ],
)
def test_channel(text: bytes, channel: str | None):
    assert classify(text).channel == channel
    assert classify(text, strict=True).channel == channel


@pytest.mark.parametrize("text", frames.HEARTBEATS)
@pytest.mark.parametrize("strict", [False, True])
def test_heartbeat(text: bytes, strict: bool):
    frame = classify(text, strict=strict)
    assert frame.kind is FrameKind.HEARTBEAT
    assert (frame.topic, frame.conid, frame.target, frame.payload, frame.error) == (None,) * 5
    assert frame.raw == text


@pytest.mark.parametrize("text", frames.MALFORMED)
@pytest.mark.parametrize("strict", [False, True])
def test_malformed(text: bytes, strict: bool):
    frame = classify(text, strict=strict)
    assert frame.kind is FrameKind.MALFORMED
    assert (frame.topic, frame.conid, frame.target, frame.payload) == (None,) * 4
    with pytest.raises(orjson.JSONDecodeError) as refusal:
        orjson.loads(text)
    assert frame.error == str(refusal.value)


@pytest.mark.parametrize("text", [b"[]", b'[{"topic":"smd+1"}]', b'"topic"', b"0", b"-1.5", b"true", b"false", b"null"])
def test_json_that_is_not_an_object(text: bytes):
    frame = classify(text)
    assert frame.kind is FrameKind.OTHER
    assert frame.topic is None
    assert frame.error is None
    assert frame.payload == orjson.loads(text)


def test_payload_is_decoded_once():
    frame = classify(SMD)
    assert frame.payload is frame.payload
    assert classify(SMD).payload is not frame.payload


# --- a route without JSON behind it ----------------------------------------------------------------------------------


#: A longer text is not decoded to find its route.
LONG = 2 * 1024 * 1024


@pytest.mark.parametrize("start", [b'{"error":"', b'{"t\\u006fpic":"smd+8314","x":"'])
def test_a_long_text_is_not_decoded_to_find_its_route(start: bytes):
    """To decode it would tell that it is not JSON."""
    for length, kind in ((LONG, FrameKind.MALFORMED), (LONG + 1, FrameKind.OTHER)):
        text = start + b"\\q" * ((length - len(start)) // 2)
        text = (text + b"xx")[: length - 2] + b'"}'
        assert len(text) == length
        for frame in (classify(text), batch_of([text])[0]):
            assert (frame.kind, frame.conid, frame.topic) == (kind, None, None)
        assert classify(text, strict=True).kind is FrameKind.MALFORMED
    frame = classify(start + b"x" * (LONG) + b'"}')
    assert frame.kind is FrameKind.OTHER
    # The payload is still decoded for whoever reads it.
    assert len(frame.payload) == start.count(b":")


def test_a_cut_frame_keeps_its_route():
    frame = classify(CUT)
    assert (frame.kind, frame.topic, frame.channel, frame.error) == (FrameKind.ORDER, "sor", "sor", None)
    for _ in range(2):
        with pytest.raises(MalformedPayloadError) as caught:
            _ = frame.payload
        assert caught.value.raw == CUT
    strict = classify(CUT, strict=True)
    assert (strict.kind, strict.topic, strict.payload) == (FrameKind.MALFORMED, None, None)


def test_the_error_does_not_show_the_content():
    secret = f'{{"topic":"tic","id":"{frames.SESSION}","account":"{frames.ACCOUNT}"'.encode()
    with pytest.raises(MalformedPayloadError) as caught:
        _ = classify(secret).payload
    text = str(caught.value) + repr(caught.value)
    assert frames.SESSION not in text
    assert frames.ACCOUNT not in text
    malformed = classify(secret, strict=True)
    assert malformed.error is not None
    assert frames.SESSION not in malformed.error


@pytest.mark.parametrize("text", frames.NOT_UTF8)
def test_invalid_utf8_is_replaced(text: bytes):
    frame = classify(text)
    assert frame.kind is not FrameKind.MALFORMED
    assert frame.payload == orjson.loads(text.decode("utf-8", "replace"))
    assert "\N{REPLACEMENT CHARACTER}" in str(frame.payload)
    assert frame.raw == text
    assert classify(text, strict=True).kind is FrameKind.MALFORMED


def test_counters():
    counters = FrameCounters()
    batch = batch_of([SMD, CUT, NOT_UTF8, b"ech+hb", b'{"topic":"str","a":"\x99"'], counters=counters)
    good, cut, repaired, malformed, both = batch
    assert (counters.payload_errors, counters.payloads_repaired) == (0, 0)
    for frame in (good, repaired, repaired, malformed):
        _ = frame.payload
    for frame in (cut, cut, both):
        with pytest.raises(MalformedPayloadError):
            _ = frame.payload
    assert (counters.payload_errors, counters.payloads_repaired) == (2, 1)
    # Another frame of the same bytes is another frame.
    _ = batch[2].payload
    assert counters.payloads_repaired == 2
    assert "payload_errors=2" in repr(counters)


# --- ownership -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda text: memoryview(b"ab" + text + b"cd")[2:-2]])
def test_any_bytes_like_object(make):
    for frame in (classify(make(SMD)), batch_of([make(SMD)])[0]):
        assert frame.raw == SMD
        assert type(frame.raw) is bytes
        assert frame.conid == 8314


def test_the_bytes_are_copied():
    data = bytearray(SMD)
    frame = classify(data)
    batch = batch_of([data])
    data[:] = b"x" * len(data)
    data.clear()
    assert frame.raw == batch[0].raw == bytes(batch.payloads) == SMD


@pytest.mark.parametrize("data", ["text", None, 1, [1, 2]])
def test_not_bytes_like(data: object):
    with pytest.raises(TypeError):
        classify(data)
    with pytest.raises(TypeError):
        BatchBuilder().append(data)


def test_a_view_that_is_not_contiguous_raises():
    with pytest.raises(BufferError):
        classify(memoryview(SMD)[::2])


def test_a_failed_append_does_not_change_the_builder():
    builder = BatchBuilder()
    with pytest.raises(TypeError):
        builder.append("text")
    assert builder.finish(RECEIVED_NS) is None
    builder.append(SMD)
    with pytest.raises(BufferError):
        builder.append(memoryview(SMD)[::2])
    batch = builder.finish(RECEIVED_NS)
    assert batch is not None
    assert [frame.raw for frame in batch] == [SMD]


# --- batches ---------------------------------------------------------------------------------------------------------


def test_columns():
    batch = batch_of(TEXTS, received_ns=RECEIVED_NS)
    assert len(batch) == len(TEXTS)
    assert batch.nbytes == sum(map(len, TEXTS))
    assert bytes(batch.payloads) == b"".join(TEXTS)
    offsets = batch.offsets.tolist()
    assert [bytes(batch.payloads[start:end]) for start, end in itertools.pairwise(offsets)] == TEXTS
    assert batch.kinds.tolist() == [2, 0, 3, 0, 2, 5, 6, 3]
    assert batch.conids.tolist() == [8314, -1, -1, -1, 0, -1, -1, -1]
    assert batch.received_ns.tolist() == [RECEIVED_NS] * len(TEXTS)
    assert batch.topic_starts.tolist() == [SMD.index(b"smd+"), -1, 10, -1, -1, -1, -1, 10]
    assert batch.topic_lengths.tolist() == [8, 0, 3, 0, -1, 0, 0, 3]


@pytest.mark.parametrize(
    ("column", "code", "count"),
    [
        ("payloads", "B", sum(map(len, TEXTS))),
        ("offsets", "i", len(TEXTS) + 1),
        ("kinds", "B", len(TEXTS)),
        ("conids", "q", len(TEXTS)),
        ("received_ns", "q", len(TEXTS)),
        ("topic_starts", "i", len(TEXTS)),
        ("topic_lengths", "i", len(TEXTS)),
    ],
)
def test_a_column_is_a_read_only_view_without_a_copy(column: str, code: str, count: int):
    batch = batch_of(TEXTS)
    view = getattr(batch, column)
    assert type(view) is memoryview
    size = {"B": 1, "i": 4, "q": 8}[code]
    assert (view.format, view.itemsize, view.shape, view.strides) == (code, size, (count,), (size,))
    assert (view.readonly, view.ndim, view.c_contiguous, view.nbytes) == (True, 1, True, count * size)
    with pytest.raises(TypeError):
        view[0] = 0
    again = getattr(batch, column)
    assert address_of(again) == address_of(view) != 0
    assert address_of(view) % size == 0
    assert view.tolist() == again.tolist()
    # Consumers that ask for less than memoryview does, and for more.
    assert bytes(view) == view.tobytes()
    with pytest.raises(TypeError):
        ctypes.c_char.from_buffer(view)


def test_views_and_frames_outlive_the_batch():
    batch = batch_of(TEXTS)
    expected = {name: getattr(batch, name).tolist() for name in ("payloads", "offsets", "kinds", "conids")}
    views = {name: getattr(batch, name) for name in expected}
    kept = list(batch)
    part = batch.payloads[: len(SMD)]
    del batch
    gc.collect()
    # Memory that was freed would be handed out again here.
    others = [batch_of([b"\xff" * len(text) for text in TEXTS]) for _ in range(200)]
    assert {name: view.tolist() for name, view in views.items()} == expected
    assert bytes(part) == SMD
    assert [frame.raw for frame in kept] == TEXTS
    assert kept[0].payload["31"] == "187.05"
    del others


def test_a_frame_does_not_keep_its_batch_and_a_view_does():
    batch = batch_of([b"x" * 1_000_000, SMD])
    owner = batch.payloads.obj
    assert owner is not None
    references = sys.getrefcount(batch)
    frame = batch[1]
    assert sys.getrefcount(batch) == references
    view = batch.kinds
    assert sys.getrefcount(batch) == references + 1
    view.release()
    del view
    assert sys.getrefcount(batch) == references
    assert frame.raw == SMD


def test_many_frames_of_growing_size():
    """The arena and the columns grow; what was appended before stays what it was."""
    texts = [frames.smd(conid, size=conid % 700) for conid in range(3_000)]
    batch = batch_of(texts)
    assert bytes(batch.payloads) == b"".join(texts)
    assert batch.conids.tolist() == list(range(3_000))
    assert [frame.raw for frame in batch] == texts


def test_only_empty_frames():
    batch = batch_of([b"", b"", b""])
    assert len(batch) == 3
    assert batch.nbytes == 0
    assert bytes(batch.payloads) == b""
    assert batch.offsets.tolist() == [0, 0, 0, 0]
    assert [frame.kind for frame in batch] == [FrameKind.HEARTBEAT] * 3


def test_index():
    batch = batch_of(TEXTS, received_ns=RECEIVED_NS)
    for index, text in enumerate(TEXTS):
        assert batch[index].raw == batch[index - len(TEXTS)].raw == text
        assert batch[index].received_ns == RECEIVED_NS
        assert batch[index] is not batch[index]
    for index in (len(TEXTS), -len(TEXTS) - 1, 2**62, -(2**62)):
        with pytest.raises(IndexError):
            batch[index]
    with pytest.raises(IndexError):
        batch[2**70]
    for index in (slice(0, 1), "0", 1.0, None):
        with pytest.raises(TypeError):
            batch[index]


def test_iteration():
    batch = batch_of(TEXTS)
    assert [frame.raw for frame in batch] == TEXTS
    assert [frame.raw for frame in batch] == TEXTS
    assert [frame.raw for frame in reversed(batch)] == TEXTS[::-1]
    iterator = iter(batch)
    del batch
    gc.collect()
    assert next(iterator).raw == SMD
    assert len(list(iterator)) == len(TEXTS) - 1


def test_frames_of_a_batch_equal_those_of_classify():
    texts = frames.corpus()
    for frame, text in zip(batch_of(texts), texts, strict=True):
        alone = classify(text)
        assert (frame.kind, frame.topic, frame.conid, frame.target, frame.raw, frame.error) == (
            *(alone.kind, alone.topic, alone.conid, alone.target, alone.raw, alone.error),
        )
        assert frame.channel == alone.channel


def test_every_slice_is_a_batch_of_these_frames():
    counters = FrameCounters()
    batch = batch_of(TEXTS, counters=counters)
    for start, stop in itertools.combinations(range(len(TEXTS) + 1), 2):
        part = slice_of(batch, start, stop)
        alone = batch_of(TEXTS[start:stop])
        for column in ("payloads", "offsets", "kinds", "conids", "received_ns", "topic_starts", "topic_lengths"):
            assert getattr(part, column).tolist() == getattr(alone, column).tolist(), (column, start, stop)
        assert (len(part), part.nbytes) == (len(alone), alone.nbytes)
        assert (part is batch) is (stop - start == len(batch))
        assert [frame.topic for frame in part] == [frame.topic for frame in alone]
    again = slice_of(slice_of(batch, 1, 7), 2, 4)
    assert [frame.raw for frame in again] == TEXTS[3:5]
    with pytest.raises(MalformedPayloadError):
        _ = slice_of(batch, 7, 8)[0].payload
    assert counters.payload_errors == 1


def test_a_slice_outlives_its_batch():
    batch = batch_of(TEXTS)
    part = slice_of(batch, 2, 5)
    del batch
    gc.collect()
    others = [batch_of([b"\xff" * len(text) for text in TEXTS]) for _ in range(200)]
    assert [frame.raw for frame in part] == TEXTS[2:5]
    del others


@pytest.mark.parametrize(
    ("start", "stop"), [(-1, 2), (0, 0), (3, 3), (4, 3), (0, 9), (8, 9), (-2, -1), (2**62, 2**62 + 1)]
)
def test_invalid_slices_raise(start: int, stop: int):
    with pytest.raises(IndexError):
        slice_of(batch_of(TEXTS), start, stop)


def test_a_builder_starts_a_new_batch_after_finish():
    builder = BatchBuilder()
    assert builder.finish(1) is None
    builder.append(SMD)
    first = builder.finish(1)
    assert builder.finish(2) is None
    builder.append(SOR)
    builder.append(SMD)
    second = builder.finish(3)
    assert first is not None
    assert second is not None
    assert [frame.raw for frame in first] == [SMD]
    assert [frame.raw for frame in second] == [SOR, SMD]
    assert (first.received_ns.tolist(), second.received_ns.tolist()) == ([1], [3, 3])


@pytest.mark.parametrize("received_ns", [0, -1, 2**63 - 1])
def test_any_int64_is_a_receive_time(received_ns: int):
    assert batch_of([SMD], received_ns=received_ns)[0].received_ns == received_ns


def test_a_receive_time_beyond_int64_raises():
    with pytest.raises(OverflowError):
        batch_of([SMD], received_ns=2**63)


# --- as Python objects -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Frame, Batch])
def test_classes_cannot_be_called(cls: type):
    with pytest.raises(TypeError, match="class cannot be called"):
        cls()


def test_objects_made_without_init_are_empty_and_safe_to_use():
    frame = Frame.__new__(Frame)
    assert (len(frame), frame.raw, frame.kind, frame.received_ns) == (0, b"", FrameKind.HEARTBEAT, 0)
    assert (frame.topic, frame.channel, frame.conid, frame.target, frame.payload, frame.error) == (None,) * 6
    assert "heartbeat" in repr(frame)
    batch = Batch.__new__(Batch)
    assert (len(batch), list(batch), batch.nbytes) == (0, [], 0)
    assert batch.offsets.tolist() == [0]
    for column in ("payloads", "kinds", "conids", "received_ns", "topic_starts", "topic_lengths"):
        assert getattr(batch, column).tolist() == []
    owner = type(batch_of([SMD]).payloads.obj)
    assert memoryview(owner.__new__(owner)).tolist() == []


@pytest.mark.parametrize("cls", [Frame, Batch, BatchBuilder, FrameCounters])
def test_no_subclasses(cls: type):
    with pytest.raises(TypeError):
        type("Mine", (cls,), {})


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_copied_nor_pickled(attempt):
    """A copy would share memory whose owner it is not; the columns and `raw` are what to keep."""
    builder = BatchBuilder()
    builder.append(SMD)
    for thing in (classify(SMD), batch_of([SMD]), builder):
        with pytest.raises(TypeError):
            attempt(thing)


def test_equal_only_to_itself():
    frame, batch = classify(SMD), batch_of([SMD])
    assert frame == frame
    assert frame != classify(SMD)
    assert batch != batch_of([SMD])
    assert len({frame, classify(SMD), batch, batch_of([SMD]), frame}) == 4


def test_a_frame_is_true_even_when_it_is_empty():
    assert classify(b"")
    assert classify(SMD)


@pytest.mark.parametrize("name", ["kind", "raw", "topic", "conid", "payload", "received_ns", "anything"])
def test_a_frame_does_not_change(name: str):
    with pytest.raises(AttributeError):
        setattr(classify(SMD), name, 1)


def test_repr_shows_no_content():
    """Topics contain accounts and payloads contain session ids, so the repr of a frame shows neither."""
    tic = f'{{"topic":"tic","id":"{frames.SESSION}"}}'.encode()
    pnl = f'{{"topic":"spl+{frames.ACCOUNT}","args":{{}}}}'.encode()
    malformed = f"oops {frames.SESSION} {frames.ACCOUNT}".encode()
    batch = batch_of([tic, pnl, malformed])
    shown = "".join(
        f"{thing!r} {thing}"
        for thing in (batch, *batch, classify(tic), classify(malformed, strict=True), batch.payloads)
    )
    assert frames.SESSION not in shown
    assert frames.ACCOUNT not in shown
    assert "tic" not in shown
    assert "market_data conid=8314" in repr(classify(SMD))
    assert f"{len(SMD)} bytes" in repr(classify(SMD))
    assert "3 frames" in repr(batch)


def test_nothing_leaks():
    """A hundred thousand frames of every sort leave no block of memory behind."""

    def churn(times: int) -> None:
        for _ in range(times):
            batch = batch_of(TEXTS, counters=FrameCounters())
            for frame in batch:
                _ = frame.topic, frame.channel, frame.target, frame.error
                try:
                    _ = frame.payload
                except MalformedPayloadError:
                    continue
            _ = [getattr(batch, name) for name in ("payloads", "offsets", "kinds", "conids", "topic_starts")]

    churn(100)
    gc.collect()
    before = sys.getallocatedblocks()
    churn(12_500)
    gc.collect()
    assert sys.getallocatedblocks() - before < 200


def test_no_weak_references():
    """Frames are made by the million: they have no slot for one."""
    with pytest.raises(TypeError):
        weakref.ref(classify(SMD))


def test_a_batch_cannot_exceed_int32_offsets():
    # Untouched zeros take no memory until they are copied.
    mebibytes = memoryview(bytes(1100 << 20))
    builder = BatchBuilder()
    builder.append(mebibytes)
    builder.append(mebibytes[: 100 << 20])
    with pytest.raises(OverflowError, match="2 GiB"):
        builder.append(mebibytes[: 1000 << 20])
    batch = builder.finish(1)
    assert batch is not None
    assert batch.offsets.tolist() == [0, 1100 << 20, 1200 << 20]
    assert len(batch[1]) == 100 << 20
