"""Counts the frames of each topic with the time of the last one, and picks the frames of a batch to inspect in Python.

Each batch is scanned once, in C. A scan that picks no frame creates no Python object. It also reports a batch that may
be late: see `event_times`.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.classifier cimport (
    KIND_MALFORMED, KIND_MARKET_DATA, KIND_ORDER, KIND_OTHER, KIND_PNL, KIND_SYSTEM
)
from cpapi_fast.frames.topic_table cimport TopicTable
from .event_times cimport EventTimes
from .last_values cimport LastValues

from cpapi_fast.errors import UsageError

# One bit for each kind that is always inspected: all but market data and heartbeats. Such frames are rare, and they
# change the state of the connection, or what the feed keeps of orders and accounts.
cdef enum:
    RARE_KINDS = 1 << KIND_SYSTEM | 1 << KIND_ORDER | 1 << KIND_PNL | 1 << KIND_OTHER | 1 << KIND_MALFORMED
    # Those of them that only change what the feed keeps.
    KEPT_KINDS = 1 << KIND_ORDER | 1 << KIND_PNL


cdef struct Observed:
    # How many frames the slot has had; of the last one, the receive time of its batch, how late it was, and the time of
    # its scan.
    int64_t frames
    int64_t last_ns
    int64_t late_ns
    double last_s
    bint is_watched


@cython.final
cdef class Tracker:
    """Counts the frames of each topic, and picks the frames to inspect.

    The identity is the text of the topic: `smd+265598@NYSE` is not `smd+265598`.

    Args:
        topics: the table whose slots are counted.
        last_values: updated by each scan, from the same lookup of topics; it must share the table.
        event_times: the same.

    Raises:
        UsageError: one of them has another table.
    """

    cdef:
        int64_t _frames
        int64_t _untracked
        double _last_s
        TopicTable _topics
        LastValues _last_values
        EventTimes _event_times
        # See set_alive().
        double _alive_s
        double _limit_s
        double _silence_s
        bint _may_be_late
        bint _checks_all
        bint _inspects_kept
        # By slot.
        Observed* _observed_ptr
        Py_ssize_t _capacity

    def __cinit__(self, TopicTable topics not None, LastValues last_values=None, EventTimes event_times=None):
        if last_values is not None and last_values._topics is not topics:
            raise UsageError("the tracker and its last values have different topic tables; give both the same one")
        if event_times is not None and event_times._topics is not topics:
            raise UsageError("the tracker and its event times have different topic tables; give both the same one")
        self._topics = topics
        self._last_values = last_values
        self._event_times = event_times
        self._limit_s = INFINITY
        self._inspects_kept = True

    def __dealloc__(self):
        PyMem_Free(self._observed_ptr)

    cdef int _grow(self, Py_ssize_t wanted) except -1:
        cdef:
            Py_ssize_t capacity = 2 * wanted
            Observed* observed_ptr = <Observed*>PyMem_Realloc(self._observed_ptr, capacity * sizeof(Observed))
        if observed_ptr == NULL:
            raise MemoryError(f"no memory for the counts of {capacity} topics")
        memset(observed_ptr + self._capacity, 0, (capacity - self._capacity) * sizeof(Observed))
        self._observed_ptr = observed_ptr
        self._capacity = capacity
        return 0

    cdef int _resolve(self, Batch batch) except -1:
        # From here on, the slots of the table are those of the batch, and each is below the capacity.
        self._topics.resolve(batch)
        if self._topics.slot_limit() > self._capacity:
            self._grow(self._topics.slot_limit())
        return 0

    cdef Observed* _observed(self, Py_ssize_t slot) except NULL:
        self._topics.check_slot(slot)
        if slot >= self._capacity:
            self._grow(slot + 1)
        return &self._observed_ptr[slot]

    @property
    def frames(self):
        """How many frames were scanned."""
        return self._frames

    @property
    def untracked(self):
        """How many of them were market data of a topic that the table does not have."""
        return self._untracked

    @property
    def last_s(self):
        """The time of the last scan that had a frame; 0.0 before the first."""
        return self._last_s

    def watch(self, Py_ssize_t slot):
        """Inspect every frame of a slot from now on. Idempotent.

        Raises:
            UsageError: the slot has no topic.
        """
        self._observed(slot).is_watched = True

    def unwatch(self, Py_ssize_t slot):
        """Stop inspecting every frame of a slot. Idempotent.

        Raises:
            UsageError: the slot has no topic.
        """
        self._observed(slot).is_watched = False

    def is_watched(self, Py_ssize_t slot):
        """Return whether every frame of a slot is inspected.

        Raises:
            UsageError: the slot has no topic.
        """
        return self._observed(slot).is_watched

    def clear(self, Py_ssize_t slot):
        """Set the count of a slot to zero and unwatch it. Call it before the topic is removed from the table.

        Raises:
            UsageError: the slot has no topic.
        """
        self._observed(slot)[0] = Observed(0, 0, 0, 0.0, False)

    def set_alive(self, double now_s, double limit_s):
        """Record that the event loop runs. A batch that is scanned more than `limit_s` seconds later may be late."""
        self._alive_s = now_s
        self._limit_s = limit_s

    @property
    def may_be_late(self):
        """Whether the last batch that was scanned may be late."""
        return self._may_be_late

    @property
    def checks_all(self):
        """Whether every batch counts as one that may be late."""
        return self._checks_all

    @checks_all.setter
    def checks_all(self, bint value):
        self._checks_all = value

    @property
    def inspects_kept(self):
        """Whether frames of orders and of profit and loss are inspected without being watched, to keep their state."""
        return self._inspects_kept

    @inspects_kept.setter
    def inspects_kept(self, bint value):
        self._inspects_kept = value

    @property
    def silence_s(self):
        """The time between the last two scans that had a frame, in seconds."""
        return self._silence_s

    def set_lateness(self, Batch batch not None, list late_ns not None):
        """Store how late each frame of a batch is, in ns: in the batch, and here that of the last frame of each topic.

        Raises:
            UsageError: there is not one number for each frame.
        """
        cdef:
            Py_ssize_t index
            list slots
            int64_t late
        if len(late_ns) != batch.frame_count:
            raise UsageError(f"the batch has {batch.frame_count} frames, not {len(late_ns)}")
        slots = self._topics.slots_of(batch)
        batch.add_lateness()
        for index in range(batch.frame_count):
            late = late_ns[index]
            batch.late_ns_ptr[index] = late
            if slots[index] >= 0:
                self._observed(slots[index]).late_ns = late

    def scan(self, Batch batch not None, double now_s):
        """Count the frames of a batch, and update the last values.

        Args:
            batch: a finished batch.
            now_s: the time of the scan, in seconds of any clock that does not go back.

        Returns:
            The indices of the frames to inspect, ascending: frames of watched slots, frames of other kinds than
            MARKET_DATA and HEARTBEAT (see also `inspects_kept`), and frames whose topic is written with escapes. None,
            the usual result, when there are none and the batch is not late. If it may be late, `may_be_late` is set,
            and the result is a list.
        """
        cdef:
            TopicTable topics = self._topics
            Observed* observed
            list inspected = None
            Py_ssize_t count = batch.frame_count
            Py_ssize_t index
            int64_t received_ns
            int64_t untracked = 0
            int32_t slot
            int rare_kinds = RARE_KINDS if self._inspects_kept else RARE_KINDS & ~KEPT_KINDS
            uint8_t kind
            bint is_inspected

        self._may_be_late = False
        if count == 0:
            return None
        self._resolve(batch)
        # A batch is one socket read, so all its frames have one receive time.
        received_ns = batch.received_ns_ptr[0]
        for index in range(count):
            kind = batch.kinds_ptr[index]
            is_inspected = (rare_kinds >> kind) & 1
            slot = topics.slots_ptr[index]
            if slot >= 0:
                observed = &self._observed_ptr[slot]
                observed.frames += 1
                observed.last_ns = received_ns
                observed.late_ns = 0
                observed.last_s = now_s
                is_inspected |= observed.is_watched
            elif kind == KIND_MARKET_DATA:
                untracked += 1
            if is_inspected:
                if inspected is None:
                    inspected = []
                    # A new list may start the garbage collector, and a finalizer may use the table.
                    self._resolve(batch)
                inspected.append(index)
        if topics.has_escapes:
            escaped = [index for index in range(count) if batch.topic_lengths_ptr[index] < 0]
            inspected = sorted({*escaped, *(inspected or ())})
        self._untracked += untracked
        self._frames += count
        self._silence_s = now_s - self._last_s
        self._last_s = now_s
        if self._event_times is not None:
            if inspected is not None:
                # As above: sorted() and the list create objects.
                self._resolve(batch)
            self._event_times.keep_resolved(batch)
            self._may_be_late = (
                self._event_times.is_suspect(batch) or self._checks_all or now_s - self._alive_s > self._limit_s
            )
        if self._last_values is not None:
            if inspected is not None:
                self._resolve(batch)
            self._last_values.merge_resolved(batch, now_s)
        return [] if self._may_be_late and inspected is None else inspected

    def read(self, Py_ssize_t slot):
        """Return what was counted for a slot.

        Returns:
            How many frames it had, and of the last one `received_ns` (ns since the Unix epoch), the time of its scan,
            and how late it was in ns; zeros when it had none.

        Raises:
            UsageError: the slot has no topic.
        """
        cdef Observed* observed = self._observed(slot)
        return observed.frames, observed.last_ns, observed.last_s, observed.late_ns

    def __reduce__(self):
        raise TypeError("a Tracker cannot be copied or pickled")
