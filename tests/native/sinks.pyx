"""Sinks that tests look into: one that writes down all it is lent, and one that overrides no more than it must."""

from cpython.bytes cimport PyBytes_FromStringAndSize

from cpapi_fast cimport BorrowedFrame, FrameSink


cdef class Recorder(FrameSink):
    """Keeps (kind, conid, topic, payload, received_ns) of every frame, and "end" of every read, in `events`.

    The topic is (start in the payload, length), or the length alone where the pointer is NULL. `on_each` and `on_end`
    are called after the entry is made; what they raise, this raises.
    """

    cdef object __weakref__
    cdef readonly list events
    cdef public object on_each
    cdef public object on_end

    def __cinit__(self, on_each=None, on_end=None):
        self.events = []
        self.on_each = on_each
        self.on_end = on_end

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        cdef object topic = frame.topic_len
        if frame.payload_ptr == NULL:
            raise AssertionError("a payload is never NULL, an empty one neither")
        if frame.topic_ptr != NULL:
            topic = (frame.topic_ptr - frame.payload_ptr, frame.topic_len)
        payload = PyBytes_FromStringAndSize(frame.payload_ptr, frame.payload_len)
        self.events.append((frame.kind, frame.conid, topic, payload, frame.received_ns))
        if self.on_each is not None:
            self.on_each()
        return 0

    cdef int on_read_end(self) except -1:
        self.events.append("end")
        if self.on_end is not None:
            self.on_end()
        return 0

    @property
    def frames(self):
        return [event for event in self.events if event != "end"]

    @property
    def conids(self):
        return [frame[1] for frame in self.frames]


cdef class Counter(FrameSink):
    """Counts frames and bytes."""

    cdef readonly long long frames
    cdef readonly long long bytes

    cdef int on_frame(self, const BorrowedFrame* frame) except -1:
        self.frames += 1
        self.bytes += frame.payload_len
        return 0
