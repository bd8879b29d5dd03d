"""The C interface that passes each frame to a user's `cdef class` as it is parsed, without a Python object.

A sink is a `cdef class` in the user's own project::

    from cpapi_fast cimport KIND_MARKET_DATA, BorrowedFrame, FrameSink

    cdef class LastConid(FrameSink):
        cdef readonly long long conid

        cdef int on_frame(self, const BorrowedFrame* frame) except -1:
            if frame.kind == KIND_MARKET_DATA:
                self.conid = frame.conid
            return 0

Pass an instance to a connection: `ws.use_sink(LastConid())`. examples/c_sink is a complete project.
"""

from libc.stdint cimport int64_t, uint8_t

from .batch cimport Batch
from .frame cimport FrameCounters


# One frame, borrowed: the pointers are valid during the call of `on_frame` only.
cdef struct BorrowedFrame:
    const char* payload_ptr         # payload_len bytes, not terminated; never NULL
    Py_ssize_t payload_len
    const char* topic_ptr           # topic_len bytes inside the payload; NULL if it is not plain text there
    Py_ssize_t topic_len            # with NULL: 0 for no topic, -1 for a topic with escapes
    int64_t conid                   # of KIND_MARKET_DATA; NO_CONID in all others
    int64_t received_ns             # ns since the Unix epoch (UTC), taken once per socket read
    uint8_t kind                    # KIND_HEARTBEAT ... KIND_MALFORMED


cdef class FrameSink:
    # Called once per frame, in the order of arrival, during the socket read: in the loop's thread and with the GIL. A
    # slow sink delays the loop. An exception is handled like that of a callback.
    cdef int on_frame(self, const BorrowedFrame* frame) except -1
    # Called after the last frame of a socket read, for sinks that publish once per read. It is not called for a sink
    # that was replaced during the read.
    cdef int on_read_end(self) except -1


# Passes frame `index` of a finished batch to a sink.
cdef int hand_over(FrameSink sink, Batch batch, Py_ssize_t index) except -1


cdef class CallbackSink(FrameSink):
    cdef:
        object _callback
        FrameCounters _counters
