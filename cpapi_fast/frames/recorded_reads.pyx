"""RecordedReads: the frames of a message of a capture, as the batches of the socket reads that received them"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memchr, memcpy

from .batch cimport Batch
from .classifier cimport KIND_MARKET_DATA, KIND_ORDER, KIND_OTHER, KIND_PNL
from .topic_table cimport TopicTable

cdef enum:
    # The kinds whose frames always belong to a subscription.
    DATA_KINDS = 1 << KIND_MARKET_DATA | 1 << KIND_ORDER | 1 << KIND_PNL


@cython.final
cdef class RecordedReads:
    """Makes batches of recorded frames: consecutive frames with one receive time are one batch, as they were received.

    The columns are untrusted: they are checked before the first frame is read. Kind, topic and conid of each frame are
    found in its bytes again, so that a batch never contradicts itself. A batch has its own copy of its frames.

    Args:
        received_ns: the receive times as int64, in ns since the Unix epoch; any object with the buffer protocol.
        offsets: as int32, one more than there are frames: where each frame begins and ends in `payloads`.
        payloads: the bytes of all frames.

    Attributes:
        position: how many frames were taken or skipped.
        received_ns: the receive time of the last batch that was taken, in ns since the Unix epoch.
        left_out: how many frames were left out, because nobody subscribes to their topics.

    Raises:
        ValueError: the buffers do not describe frames.
    """

    cdef:
        Py_buffer _received
        Py_buffer _offsets
        Py_buffer _payloads
        int _held
        Py_ssize_t _count
        readonly Py_ssize_t position
        readonly int64_t received_ns
        readonly int64_t left_out

    def __init__(self, received_ns, offsets, payloads):
        cdef Py_ssize_t index
        if self._held:
            raise TypeError("RecordedReads cannot be initialised twice")
        PyObject_GetBuffer(received_ns, &self._received, PyBUF_SIMPLE)
        self._held = 1
        PyObject_GetBuffer(offsets, &self._offsets, PyBUF_SIMPLE)
        self._held = 2
        PyObject_GetBuffer(payloads, &self._payloads, PyBUF_SIMPLE)
        self._held = 3
        cdef Py_ssize_t count = self._received.len // <Py_ssize_t>sizeof(int64_t)
        if count * <Py_ssize_t>sizeof(int64_t) != self._received.len:
            raise ValueError(f"{self._received.len} bytes of receive times are no whole number of times")
        if self._offsets.len != (count + 1) * <Py_ssize_t>sizeof(int32_t):
            raise ValueError(f"{self._offsets.len} bytes of offsets do not fit {count} frames")
        # From here on each offset is within the payloads, and none is before the one before it.
        if self._offset(0) < 0:
            raise ValueError("the first offset is below zero")
        for index in range(count):
            if self._offset(index + 1) < self._offset(index):
                raise ValueError(f"frame {index} ends before it begins")
        if self._offset(count) > self._payloads.len:
            raise ValueError(f"the frames end at byte {self._offset(count)} of {self._payloads.len}")
        self._count = count

    def __dealloc__(self):
        if self._held > 0:
            PyBuffer_Release(&self._received)
        if self._held > 1:
            PyBuffer_Release(&self._offsets)
        if self._held > 2:
            PyBuffer_Release(&self._payloads)

    cdef inline int32_t _offset(self, Py_ssize_t index) noexcept:
        # A buffer may begin at any address. A copy of constant size is one load.
        cdef int32_t value
        memcpy(&value, <const char*>self._offsets.buf + index * <Py_ssize_t>sizeof(int32_t), sizeof(int32_t))
        return value

    cdef inline int64_t _time(self, Py_ssize_t index) noexcept:
        cdef int64_t value
        memcpy(&value, <const char*>self._received.buf + index * <Py_ssize_t>sizeof(int64_t), sizeof(int64_t))
        return value

    def __len__(self):
        """The number of frames."""
        return self._count

    def index_of(self, int64_t time_ns):
        """Return the index of the first frame from `position` on that was received at this time or later.

        Returns:
            The index; the number of frames if there is none.
        """
        cdef Py_ssize_t index = self.position
        while index < self._count and self._time(index) < time_ns:
            index += 1
        return index

    def skip_to(self, Py_ssize_t index):
        """Continue at a frame.

        Raises:
            IndexError: the index is before `position`, or beyond the last frame.
        """
        if index < self.position or index > self._count:
            raise IndexError(f"{index} is not from {self.position} to {self._count}")
        self.position = index

    def end_of_read(self, Py_ssize_t stop):
        """Return the index behind the last frame of the next socket read, which is at most `stop`."""
        return self._end_of_read(min(stop, self._count))

    cdef Py_ssize_t _end_of_read(self, Py_ssize_t stop) noexcept:
        cdef:
            Py_ssize_t end = self.position
            int64_t time_ns
        if end < stop:
            time_ns = self._time(end)
            while end < stop and self._time(end) == time_ns:
                end += 1
        return end

    def take(self, Py_ssize_t stop, TopicTable topics=None):
        """Return the frames of the next socket read as a batch, and move `position` behind them.

        Args:
            stop: take no frame from this index on; the rest of its read is the next batch.
            topics: leave out the frames of other subscriptions than these, and reads without a frame that is left; None
                for all frames. Frames that belong to no subscription, such as heartbeats, are always in.

        Returns:
            The batch; None if no frame before `stop` is left.
        """
        cdef:
            Batch batch
            Py_ssize_t start, end
            int64_t time_ns
        stop = min(stop, self._count)
        while self.position < stop:
            start = self.position
            time_ns = self._time(start)
            end = self._end_of_read(stop)
            batch = self._batch(start, end)
            self.position = end
            self.received_ns = time_ns
            batch.finish(time_ns)
            if topics is not None:
                batch = self._selected(batch, topics)
                if batch is None:
                    continue
            return batch
        return None

    def batch(self, Py_ssize_t start, Py_ssize_t stop):
        """Return frames of any socket reads as one batch, each with its receive time. `position` stays where it is.

        Args:
            start, stop: the index of the first frame, and the one behind the last frame; at least one frame.

        Raises:
            IndexError: there are no such frames.
        """
        cdef:
            Batch batch
            Py_ssize_t index
        if not 0 <= start < stop <= self._count:
            raise IndexError(f"the frames from {start} to {stop} are not within the {self._count} frames")
        batch = self._batch(start, stop)
        batch.finish(0)
        for index in range(start, stop):
            batch.received_ns_ptr[index - start] = self._time(index)
        return batch

    cdef Batch _batch(self, Py_ssize_t start, Py_ssize_t end):
        cdef:
            const char* payloads_ptr = <const char*>self._payloads.buf
            int32_t first = self._offset(start)
            int32_t next_, last = first
            Py_ssize_t index
            Batch batch = Batch.new(self._offset(end) - first, end - start, None)
        for index in range(start, end):
            next_ = self._offset(index + 1)
            batch.append_ptr(payloads_ptr + last, next_ - last)
            last = next_
        return batch

    cdef Batch _selected(self, Batch batch, TopicTable topics):
        # The frames of these topics, and those that belong to no subscription; None without any.
        cdef:
            Py_ssize_t index, start
            Py_ssize_t kept = 0
            Batch part
        topics.resolve(batch)
        for index in range(batch.frame_count):
            kept += _is_wanted(batch, index, topics.slots_ptr[index])
        self.left_out += batch.frame_count - kept
        if kept == batch.frame_count:
            return batch
        if kept == 0:
            return None
        part = Batch.new(batch.arena_len, kept, None)
        # A new object may run the garbage collector, and a finalizer may use the table.
        topics.resolve(batch)
        for index in range(batch.frame_count):
            if _is_wanted(batch, index, topics.slots_ptr[index]):
                start = batch.offsets_ptr[index]
                part.append_ptr(batch.arena_ptr + start, batch.offsets_ptr[index + 1] - start)
        part.finish(self.received_ns)
        return part

    def __reduce__(self):
        raise TypeError("RecordedReads cannot be copied or pickled")


cdef bint _is_wanted(Batch batch, Py_ssize_t index, int32_t slot) noexcept:
    # Whether a frame is of a topic in the table, or belongs to no subscription.
    cdef:
        uint8_t kind = batch.kinds_ptr[index]
        int32_t topic_start = batch.topic_starts_ptr[index]
    if slot >= 0:
        return True
    if (DATA_KINDS >> kind) & 1:
        return False
    if kind != KIND_OTHER or topic_start < 0:
        return True
    # Of the other topics, those with a target belong to subscriptions: `ssd+DU1234567`, but not `sts`.
    return memchr(
        batch.arena_ptr + batch.offsets_ptr[index] + topic_start, c"+", <size_t>batch.topic_lengths_ptr[index]
    ) == NULL
