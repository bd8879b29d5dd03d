"""Frame: one message with its route; it owns its bytes and decodes its payload on first use."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from .classifier cimport (
    KIND_HEARTBEAT,
    KIND_MALFORMED,
    KIND_MARKET_DATA,
    KIND_OTHER,
    NO_CONID,
    VERDICT_NOT_JSON,
    VERDICT_ROUTED,
    VERDICT_UNDECIDED,
    Classified,
    classify_ptr,
    route_topic_ptr,
)

from cpapi_fast.messages.decode cimport decode_object, message_of

import orjson

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.protocol.kinds import FrameKind

cdef object _loads = orjson.loads
cdef object _JSONDecodeError = orjson.JSONDecodeError

# Indexing a tuple costs less than calling the enum.
cdef tuple _KINDS = tuple(FrameKind)

# Values of Frame._payload that are not a decoded payload.
cdef object _NOT_DECODED = object()
cdef object _NOT_JSON = object()

# The channel of a frame without a topic is the first of these keys that its payload has.
cdef tuple _CHANNEL_KEYS = ("error", "result", "message")


cdef object _topic_of(object payload):
    # Returns the topic of a decoded payload; None if it is not a string.
    cdef object topic
    if type(payload) is dict:
        topic = (<dict>payload).get("topic")
        if type(topic) is str:
            return topic
    return None


cdef int _route_text(str topic, Classified* route) except -1:
    cdef bytes encoded = topic.encode()
    route_topic_ptr(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), route)
    return 0


# To decode a longer text could block the event loop for seconds. The gateway sends none without a plain topic.
cdef enum:
    MAX_DECODED_BYTES = 2 * 1024 * 1024


cdef int route_decoded_ptr(const char* data_ptr, Py_ssize_t data_len, Classified* route) except -1:
    if data_len > MAX_DECODED_BYTES:
        # It stays KIND_OTHER without a topic. Reading `Frame.payload` decodes it.
        route.verdict = VERDICT_ROUTED
        return 0
    return _route_decoded(PyBytes_FromStringAndSize(data_ptr, data_len), route)


cdef int _route_decoded(bytes raw, Classified* route) except -1:
    cdef object topic
    try:
        topic = _topic_of(_loads(raw))
    except _JSONDecodeError:
        route.kind = KIND_MALFORMED
        route.verdict = VERDICT_NOT_JSON
        return 0
    route.verdict = VERDICT_ROUTED
    if topic is not None:
        _route_text(<str>topic, route)
        route.topic_length = -1
    return 0


@cython.final
cdef class FrameCounters:
    """Counts invalid payloads as they are decoded. All frames of one connection share one instance."""

    def __init__(self):
        pass

    @property
    def payload_errors(self):
        """How many payloads of frames with a route were not JSON."""
        return self._payload_errors

    @property
    def payloads_repaired(self):
        """How many payloads had invalid UTF-8, which was decoded as U+FFFD."""
        return self._payloads_repaired

    def __repr__(self):
        return f"FrameCounters(payload_errors={self._payload_errors}, payloads_repaired={self._payloads_repaired})"


cdef object _decode(bytes raw, FrameCounters counters):
    # Returns the payload, or _NOT_JSON. Replaces invalid UTF-8 by U+FFFD.
    cdef object payload
    try:
        return _loads(raw)
    except _JSONDecodeError:
        pass
    try:
        raw.decode()
    except UnicodeDecodeError:
        try:
            payload = _loads(raw.decode("utf-8", "replace"))
        except _JSONDecodeError:
            pass
        else:
            if counters is not None:
                counters._payloads_repaired += 1
            return payload
    if counters is not None:
        counters._payload_errors += 1
    return _NOT_JSON


cdef str _reason(bytes raw):
    # Returns the decoder's message, which has a position and no content; None if the text is JSON.
    try:
        _loads(raw)
    except _JSONDecodeError as error:
        return str(error)
    return None


# The garbage collector does not track frames, and a free list allocates them, because both save time. A reference cycle
# through a frame is possible only if a user puts the frame into its own payload.
@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Frame:
    """One message of the gateway: its route, its bytes, and its payload on demand.

    A frame owns a copy of its bytes. Frames come from `classify`, a `Batch` or a `WsClient`; the class cannot be
    called. Reading `kind`, `conid`, `topic` and `target` does not decode JSON, unless the topic has escapes.
    """

    def __cinit__(self):
        # `Frame.__new__(Frame)` skips __init__. The result must be safe to use: an empty heartbeat.
        self._raw = b""
        self._conid = NO_CONID
        self._topic_start = -1

    def __init__(self):
        raise TypeError("a Frame comes from classify(), a Batch or a WsClient; the class cannot be called")

    @property
    def raw(self):
        """The bytes as received, with the fragments of a message joined."""
        return self._raw

    @property
    def kind(self):
        """The kind of the frame (FrameKind). Reading it does not decode the payload."""
        return _KINDS[self._kind]

    @property
    def topic(self):
        """The topic, such as `smd+265598`; None if the frame has none."""
        if self._topic_start >= 0:
            return PyUnicode_DecodeUTF8(
                PyBytes_AS_STRING(self._raw) + self._topic_start, self._topic_length, "replace"
            )
        if self._topic_length < 0:
            return _topic_of(self.payload)
        return None

    @property
    def channel(self):
        """The topic up to its first `+`, such as `smd`, `sts` or `tic`.

        For a frame without a topic, it is the first of the keys `error`, `result` and `message` that the payload has,
        else None; this decodes the payload.
        """
        cdef object topic = self.topic
        cdef object payload
        cdef object key
        if topic is not None:
            return topic.partition("+")[0]
        if self._kind != KIND_OTHER:
            return None
        payload = self.payload
        if type(payload) is dict:
            for key in _CHANNEL_KEYS:
                if key in <dict>payload:
                    return key
        return None

    @property
    def conid(self):
        """The contract id of a MARKET_DATA frame; None for every other kind. 0 is a real contract id (combos)."""
        return None if self._conid == NO_CONID else self._conid

    @property
    def target(self):
        """The text after `smd+` if it is more than a conid (`265598@NYSE`, `28812380;;;1/1,2/-1`), else None."""
        cdef object topic
        cdef str target
        if self._kind != KIND_MARKET_DATA:
            return None
        topic = self.topic
        target = (<str>topic)[4:]
        return None if target.isdigit() else target

    @property
    def received_ns(self):
        """The time at which the socket read returned, in ns since the Unix epoch; 0 for a frame without a socket."""
        return self._received_ns

    @property
    def payload(self):
        """The decoded JSON; None for HEARTBEAT and MALFORMED. Decoded on first use and then cached.

        Invalid UTF-8 is decoded as U+FFFD.

        Raises:
            MalformedPayloadError: the payload is not JSON, although a route was found. Its `raw` has the bytes.
        """
        if self._payload is _NOT_DECODED:
            if self._kind == KIND_HEARTBEAT or self._kind == KIND_MALFORMED:
                return None
            self._payload = _decode(self._raw, self._counters)
        if self._payload is _NOT_JSON:
            raise MalformedPayloadError(
                f"the frame's route is known, but its {len(self._raw)} bytes are not JSON: {_reason(self._raw)}. "
                "They are in this error's `raw`.",
                raw=self._raw,
            )
        return self._payload

    @property
    def message(self):
        """The message with typed members, of the class that belongs to its topic; None if it is not a JSON object.

        No content raises an exception. Each access creates a new object on the decoded payload. A number that is too
        large for a float is an int or a Decimal in the message, although `payload` raises for the frame.
        """
        cdef object payload
        if self._kind == KIND_HEARTBEAT or self._kind == KIND_MALFORMED:
            payload = decode_object(self._raw)
        else:
            if self._payload is _NOT_DECODED:
                self._payload = _decode(self._raw, self._counters)
            payload = self._payload
            if payload is _NOT_JSON:
                payload = decode_object(self._raw)
        return message_of(payload, self._kind == KIND_MARKET_DATA, self._received_ns)

    @property
    def error(self):
        """The decoder's message for a MALFORMED frame; None for every other kind."""
        return _reason(self._raw) if self._kind == KIND_MALFORMED else None

    def __len__(self):
        """The number of bytes of `raw`."""
        return PyBytes_GET_SIZE(self._raw)

    def __bool__(self):
        # `while frame := await ws.next_message()` must not stop at an empty heartbeat.
        return True

    def __repr__(self):
        # Without bytes and topic, because both may contain an account.
        conid = "" if self._conid == NO_CONID else f" conid={self._conid}"
        return f"<Frame {_KINDS[self._kind].label}{conid} {len(self._raw)} bytes>"

    def __reduce__(self):
        raise TypeError("a Frame cannot be pickled; keep its `raw` and `received_ns`")


cdef inline Frame _frame_of(bytes raw, int64_t received_ns, FrameCounters counters):
    cdef Frame frame = Frame.__new__(Frame)
    frame._raw = raw
    frame._received_ns = received_ns
    frame._payload = _NOT_DECODED
    frame._counters = counters
    return frame


cdef Frame new_frame(
    const char* data_ptr,
    Py_ssize_t data_len,
    int64_t received_ns,
    int64_t conid,
    Py_ssize_t topic_start,
    Py_ssize_t topic_length,
    uint8_t kind,
    FrameCounters counters,
):
    cdef Frame frame = _frame_of(PyBytes_FromStringAndSize(data_ptr, data_len), received_ns, counters)
    frame._conid = conid
    frame._topic_start = topic_start
    frame._topic_length = topic_length
    frame._kind = kind
    return frame


def classify(data, *, bint strict=False):
    """Classify one message and return its frame. No content raises an exception.

    By default the payload is decoded only if the classifier cannot find the topic, and the message is at most 2 MiB
    long; a longer one is then OTHER, without a topic. With `strict=True` it is decoded
    at once, and the kind is MALFORMED exactly if orjson rejects the text.

    Args:
        data: one whole message, bytes-like; copied, unless it is `bytes`.
        strict: decode the payload at once.

    Returns:
        The frame, with a `received_ns` of 0.
    """
    cdef Py_buffer view
    cdef bytes raw
    cdef Classified route
    cdef Frame frame
    cdef object topic
    if type(data) is bytes:
        raw = <bytes>data
    else:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            raw = PyBytes_FromStringAndSize(<const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
    frame = _frame_of(raw, 0, None)
    route = classify_ptr(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    if strict and route.kind != KIND_HEARTBEAT:
        try:
            frame._payload = _loads(raw)
        except _JSONDecodeError:
            route.kind = KIND_MALFORMED
            route.conid = NO_CONID
            route.topic_start = -1
            route.topic_length = 0
        else:
            topic = _topic_of(frame._payload)
            if topic is None:
                route.topic_start = -1
                route.topic_length = 0
                route.kind = KIND_OTHER
                route.conid = NO_CONID
            else:
                # `Frame.topic` reads the topic from the decoded payload.
                route.topic_start = -1
                route.topic_length = -1
                _route_text(<str>topic, &route)
    elif route.verdict == VERDICT_UNDECIDED:
        route_decoded_ptr(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), &route)
    frame._kind = route.kind
    frame._conid = route.conid
    frame._topic_start = route.topic_start
    frame._topic_length = route.topic_length
    return frame
