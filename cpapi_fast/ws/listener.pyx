"""The picows listener: turns the frames of one connection into batches, and reports the end with one callback.

This is the only module that cimports picows. It does the parts of RFC 6455 that picows leaves to its user: it joins
fragments, replies to PING and CLOSE, and closes the connection on protocol violations. It finishes a batch at the end
of each socket read. `on_ws_frame` does not raise, because an exception there would lose the rest of the read.

Frames are copied into batches, or passed one by one to a `FrameSink`, which borrows them.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t
from libc.string cimport memcpy
from picows.picows cimport WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.frame cimport FrameCounters, route_frame
from cpapi_fast.frames.classifier cimport KIND_MALFORMED, Classified
from cpapi_fast.frames.sink cimport BorrowedFrame, FrameSink

import time

cdef object _time_ns = time.time_ns

# Close codes of RFC 6455 section 7.4.1.
cdef enum:
    CLOSE_PROTOCOL_ERROR = 1002
    CLOSE_NO_CODE = 1005                       # for a CLOSE frame without a code; never sent
    CLOSE_MESSAGE_TOO_BIG = 1009

# A larger read becomes several batches. After a pause, a read can have megabytes. A single batch of that size would not
# fit in the processor's cache, and its memory would be newly allocated each time.
cdef enum:
    BATCH_BYTES = 256 * 1024


@cython.final
cdef class FrameListener(WSListener):
    """Turns the frames of one connection into batches.

    Args:
        counters: shared with every frame of the connection.
        max_frame_bytes: the limit for one frame, the same as picows has.
        max_message_bytes: the limit for all fragments of one message together.
        deliver: called with each finished `Batch`: one for each socket read with frames, several for a read of more
            than 256 KiB. It must not raise.
        on_close: called once with (code, reason) when the peer's CLOSE frame was read and a CLOSE frame was sent back.
        on_violation: called once with (code, text) when the listener closes because the peer violated the protocol.
        on_lost: called once, after every other call, with the exception that ended the connection, or None.
        on_write_paused: called with True when the socket's write buffer is full, with False when it has drained.
        on_sink_error: called with an exception that a sink raised. The sink gets the next frame unless `set_sink` is
            called.

    Attributes:
        transport: the picows transport; None before the upgrade and after the end.
        counters: the argument.
        frames_received: messages, each counted once; the fragments of a message count as one.
        bytes_received: their payload bytes.
        reads: socket reads with at least one message.
        malformed: messages that are not JSON.
        pings: PING frames.
        pongs: PONG frames.
        fragments: frames that were part of a fragmented message.
        frames_after_end: data frames after CLOSE or a violation; they are not delivered.
        frames_sunk: the part of `frames_received` that was passed to a sink.
    """

    cdef:
        readonly object transport
        readonly FrameCounters counters
        readonly int64_t frames_received
        readonly int64_t bytes_received
        readonly int64_t reads
        readonly int64_t malformed
        readonly int64_t pings
        readonly int64_t pongs
        readonly int64_t fragments
        readonly int64_t frames_after_end
        readonly int64_t frames_sunk
        object _deliver
        object _on_close
        object _on_violation
        object _on_lost
        object _on_write_paused
        object _on_sink_error
        FrameSink _sink                        # None: frames become batches
        Batch _batch
        Py_ssize_t _usual_frames               # in the last batch: the columns of the next one start with this size
        int64_t _received_ns                   # of the current socket read, 0 before its first message
        Py_ssize_t _max_frame_bytes
        Py_ssize_t _max_message_bytes
        # The message whose fragments are joined. Its buffer grows to the longest message and is freed with the
        # listener.
        char* _message_ptr
        Py_ssize_t _message_len
        Py_ssize_t _message_capacity
        bint _is_in_message
        bint _is_ended
        bint _is_closing                       # CLOSE was sent because the user closed
        bint _is_refusal_seen                  # picows has closed because of a frame that it rejected
        bint _is_abandoned

    def __cinit__(self):
        self._message_ptr = NULL

    def __init__(
        self,
        FrameCounters counters not None,
        Py_ssize_t max_frame_bytes,
        Py_ssize_t max_message_bytes,
        deliver,
        on_close,
        on_violation,
        on_lost,
        on_write_paused,
        on_sink_error,
    ):
        self.counters = counters
        self._max_frame_bytes = max_frame_bytes
        self._max_message_bytes = max_message_bytes
        self._deliver = deliver
        self._on_close = on_close
        self._on_violation = on_violation
        self._on_lost = on_lost
        self._on_write_paused = on_write_paused
        self._on_sink_error = on_sink_error

    def __dealloc__(self):
        PyMem_Free(self._message_ptr)

    def abandon(self):
        """Disconnect now, or as soon as the connection opens, after an attempt to connect was cancelled."""
        self._is_abandoned = True
        self._is_ended = True
        if self.transport is not None:
            (<WSTransport>self.transport).disconnect(False)

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        # Only this future has the reason if picows itself ended the connection.
        transport.disconnected_future.add_done_callback(self._on_disconnected_future)
        if self._is_abandoned:
            transport.disconnect(False)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef WSMsgType kind = frame.msg_type
        if self._is_ended or (
            transport.is_close_frame_sent and not self._is_closing and not self._is_before_refusal(frame)
        ):
            # picows calls this method even after CLOSE and after a violation. Those frames must not be delivered.
            self._is_ended = True
            if kind == WSMsgType.TEXT or kind == WSMsgType.BINARY or kind == WSMsgType.CONTINUATION:
                self.frames_after_end += 1
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._violate(CLOSE_PROTOCOL_ERROR, "a frame with reserved bits, and no extension was agreed on")
        elif kind == WSMsgType.TEXT or kind == WSMsgType.BINARY:
            # No difference: the gateway sends its JSON text with the binary opcode.
            if self._is_in_message:
                self._violate(CLOSE_PROTOCOL_ERROR, "a new message inside a fragmented one")
            elif frame.payload_size > self._max_message_bytes:
                self._too_big(frame.payload_size)
            elif frame.fin:
                self._take(frame.payload_ptr, frame.payload_size, frame.tail_size)
            else:
                self._is_in_message = True
                self._message_len = 0
                self._join(frame)
        elif kind == WSMsgType.CONTINUATION:
            if self._is_in_message:
                self._join(frame)
            else:
                self._violate(CLOSE_PROTOCOL_ERROR, "a continuation frame without a message to continue")
        elif kind == WSMsgType.PING:
            self.pings += 1
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PONG:
            self.pongs += 1
        elif kind == WSMsgType.CLOSE:
            self._reply_to_close(transport, frame)
        if frame.last_in_buffer:
            # Also after a control frame, or the batch would wait for the next read.
            self._end_read()

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._end_read()
        self._is_ended = True

    cpdef pause_writing(self):
        self._on_write_paused(True)

    cpdef resume_writing(self):
        self._on_write_paused(False)

    def _on_disconnected_future(self, future):
        cdef object on_lost = self._on_lost
        cdef object error = None if future.cancelled() else future.exception()
        # Break the reference cycle listener -> connection -> listener: a long run opens many connections.
        self._on_lost = None
        self.transport = None
        self._deliver = None
        self._on_close = None
        self._on_violation = None
        self._on_sink_error = None
        self._sink = None
        if on_lost is not None:
            on_lost(error)

    def set_sink(self, FrameSink sink):
        """Pass every message to `sink` from now on; None copies messages into batches again."""
        self._flush()
        self._sink = sink

    def start_close(self, int code, str reason):
        """Send CLOSE, and return whether it was sent. Frames are delivered until the peer's CLOSE arrives.

        It is not sent if the connection has ended or CLOSE was sent before.
        """
        cdef WSTransport transport = self.transport
        if transport is None or self._is_ended or transport.is_close_frame_sent:
            return False
        self._is_closing = True
        transport.send_close(<WSCloseCode>code, reason)
        return True

    def reply_before_refusal(self):
        """Reply to a CLOSE frame that picows has parsed but not passed on. Call it before picows sends CLOSE itself.

        A frame after CLOSE is ignored, even an invalid one. Without this, picows would send 1002 for it.
        """
        cdef WSTransport transport = self.transport
        if transport is None or transport.is_close_frame_sent or self._is_ended:
            return
        if transport.close_handshake is not None and transport.close_handshake.recv is not None:
            self._send_close_reply(transport, transport.close_handshake.recv.code)

    cdef bint _is_before_refusal(self, WSFrame frame):
        # picows parses one frame ahead. When it rejects a frame, it sends CLOSE first and then passes the previous
        # frame to on_ws_frame, as the last one of its read and followed by the rejected bytes. That frame is valid and
        # must be delivered.
        cdef bint is_before = (
            frame.last_in_buffer
            and frame.tail_size > 0
            and frame.payload_size <= self._max_frame_bytes
            and not self._is_refusal_seen
        )
        self._is_refusal_seen = True
        return is_before

    cdef inline int _take(self, const char* data_ptr, Py_ssize_t data_len, Py_ssize_t tail_len) except -1:
        # Processes one whole message, which is borrowed.
        if self._received_ns == 0:
            self._start_read()
        if self._sink is None and self._batch is not None and self._batch.arena_len + data_len > BATCH_BYTES:
            # Flush before the sink is checked, because the receiver of the batch may set a sink.
            self._flush()
        if self._sink is not None:
            return self._lend(data_ptr, data_len)
        return self._append(data_ptr, data_len, tail_len)

    cdef int _start_read(self) except -1:
        self._received_ns = _time_ns()
        return 0

    cdef int _lend(self, const char* data_ptr, Py_ssize_t data_len) except -1:
        cdef:
            FrameSink sink = self._sink            # keeps a reference, because the sink may replace itself
            BorrowedFrame frame
            Classified route
        route_frame(data_ptr, data_len, &route)
        # Count after everything that can fail, and before the sink gets the frame.
        self.frames_received += 1
        self.frames_sunk += 1
        self.bytes_received += data_len
        if route.kind == KIND_MALFORMED:
            self.malformed += 1
        frame.payload_ptr = data_ptr
        frame.payload_len = data_len
        frame.topic_ptr = data_ptr + route.topic_start if route.topic_start >= 0 else NULL
        frame.topic_len = route.topic_length
        frame.conid = route.conid
        frame.received_ns = self._received_ns
        frame.kind = route.kind
        try:
            sink.on_frame(&frame)
        except BaseException as error:  # user code; the policy for callback errors decides
            self._report_sink_error(error)
        return 0

    cdef int _report_sink_error(self, error) except -1:
        if self._on_sink_error is not None:
            self._on_sink_error(error)
        return 0

    cdef int _append(self, const char* data_ptr, Py_ssize_t data_len, Py_ssize_t tail_len) except -1:
        cdef Batch batch = self._batch
        if batch is None:
            # The rest of the read bounds the size of this batch, so the arena is allocated only once.
            batch = Batch.new(max(data_len, min(data_len + tail_len, BATCH_BYTES)), self._usual_frames, self.counters)
            self._batch = batch
        batch.append_ptr(data_ptr, data_len)
        self.frames_received += 1
        self.bytes_received += data_len
        return 0

    cdef int _join(self, WSFrame frame) except -1:
        cdef:
            Py_ssize_t wanted = self._message_len + frame.payload_size
            Py_ssize_t capacity
            char* message_ptr
            const char* whole_ptr
        self.fragments += 1
        if wanted > self._max_message_bytes:
            self._too_big(wanted)
            return 0
        if wanted > self._message_capacity:
            capacity = min(max(wanted, 2 * self._message_capacity), self._max_message_bytes)
            message_ptr = <char*>PyMem_Realloc(self._message_ptr, capacity)
            if message_ptr == NULL:
                raise MemoryError(f"no memory to join a message of {wanted} bytes")
            self._message_ptr = message_ptr
            self._message_capacity = capacity
        if frame.payload_size > 0:
            memcpy(self._message_ptr + self._message_len, frame.payload_ptr, <size_t>frame.payload_size)
        self._message_len = wanted
        if frame.fin:
            self._is_in_message = False
            # If all fragments are empty, there is no buffer, but a sink must not get NULL.
            whole_ptr = self._message_ptr
            if whole_ptr == NULL:
                whole_ptr = b""
            self._take(whole_ptr, wanted, frame.tail_size)
        return 0

    cdef int _flush(self) except -1:
        cdef Batch batch = self._batch
        if batch is None:
            return 0
        self._batch = None
        batch.finish(self._received_ns)
        # The next batch reserves columns for as many frames as this read had.
        self._usual_frames = batch.frame_count
        self.malformed += batch.malformed_count
        if self._deliver is not None:
            self._deliver(batch)
        return 0

    cdef int _end_read(self) except -1:
        cdef FrameSink sink = self._sink
        self._flush()
        if self._received_ns != 0:
            self._received_ns = 0
            self.reads += 1
            if sink is not None:
                try:
                    sink.on_read_end()
                except BaseException as error:  # as in _lend
                    self._report_sink_error(error)
        return 0

    cdef int _violate(self, int code, str text) except -1:
        self._is_ended = True
        self._is_in_message = False
        (<WSTransport>self.transport).send_close(<WSCloseCode>code, text)
        if self._on_violation is not None:
            self._on_violation(code, text)
        return 0

    cdef int _too_big(self, Py_ssize_t size_bytes) except -1:
        return self._violate(
            CLOSE_MESSAGE_TOO_BIG, f"a message of {size_bytes} bytes or more; the limit is {self._max_message_bytes}"
        )

    cdef int _reply_to_close(self, WSTransport transport, WSFrame frame) except -1:
        cdef int code = frame.get_close_code()
        cdef object reason = frame.get_close_reason()
        if frame.payload_size > 0 and not _is_close_code(code):
            # picows rejects most, but not all, of the codes that are never sent.
            return self._violate(CLOSE_PROTOCOL_ERROR, f"a CLOSE frame with the invalid code {code}")
        self._is_ended = True
        if not transport.is_close_frame_sent:
            self._send_close_reply(transport, code)
        self._end_read()
        if self._on_close is not None:
            self._on_close(code or CLOSE_NO_CODE, reason or "")
        return 0

    cdef int _send_close_reply(self, WSTransport transport, int code) except -1:
        if code == 0:
            # Reply without a code to a CLOSE without a code. picows would send the code 0.
            transport.send(WSMsgType.CLOSE, None)
        else:
            transport.send_close(<WSCloseCode>(code if _is_close_code(code) else CLOSE_PROTOCOL_ERROR), None)
        return 0


cdef bint _is_close_code(int code) noexcept nogil:
    # The codes that a CLOSE frame may have: RFC 6455 section 7.4, and the registry of IANA for 1012 to 1014.
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
