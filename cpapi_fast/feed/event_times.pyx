"""The event times of each topic, and the usual time from there to the receive time, which shows which frames are late.

One frame of each batch is compared in C. Only a batch that differs from the usual is measured frame by frame.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.math cimport INFINITY
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memset

from cpapi_fast._json.scan cimport byte_at, word_at
from cpapi_fast.frames.classifier cimport KIND_MARKET_DATA

cdef enum:
    # The length of `"_updated":`, and of an event time in ms until the year 2286.
    KEY_LEN = 11
    TIME_LEN = 13
    # How many frames of a batch are searched for an event time.
    MOST_TRIED = 8

# `"_update` and `pdated":`, the first and the last eight bytes of the key with its colon.
cdef uint64_t _KEY_FIRST = word_at(b'"_updated":', KEY_LEN, 0)
cdef uint64_t _KEY_LAST = word_at(b'"_updated":', KEY_LEN, 3)


cdef inline bint _is_key_at(const char* text_ptr, Py_ssize_t text_len, Py_ssize_t at) noexcept:
    # Whether the key is there, with something as long as an event time behind it.
    cdef uint8_t end
    if at < 0 or at >= text_len - KEY_LEN - TIME_LEN:
        return False
    if word_at(text_ptr, text_len, at) != _KEY_FIRST or word_at(text_ptr, text_len, at + 3) != _KEY_LAST:
        return False
    end = byte_at(text_ptr, text_len, at + KEY_LEN + TIME_LEN)
    return end == c"," or end == c"}"


cdef Py_ssize_t _find_key(const char* text_ptr, Py_ssize_t text_len) noexcept:
    # The position of the key; -1 if there is none.
    cdef:
        Py_ssize_t at = 1
        const char* found_ptr
    while at < text_len:
        found_ptr = <const char*>memchr(text_ptr + at, c"_", <size_t>(text_len - at))
        if found_ptr == NULL:
            return -1
        at = found_ptr - text_ptr
        if _is_key_at(text_ptr, text_len, at - 1):
            return at - 1
        at += 1
    return -1


cdef inline int64_t _event_ms(Batch batch, Py_ssize_t index) noexcept:
    # The event time of a frame; -1 if it has none.
    cdef:
        Py_ssize_t start = batch.offsets_ptr[index]
        Py_ssize_t length = batch.offsets_ptr[index + 1] - start
        const char* text_ptr = batch.arena_ptr + start
        Py_ssize_t at = _find_key(text_ptr, length)
        Py_ssize_t position
        int64_t number = 0
        uint8_t digit
    if at < 0:
        return -1
    for position in range(at + KEY_LEN, at + KEY_LEN + TIME_LEN):
        digit = byte_at(text_ptr, length, position) - c"0"
        if digit > 9:
            return -1
        number = 10 * number + digit
    return number


cdef inline void _reset(Times* times) noexcept:
    memset(times, 0, sizeof(Times))
    times.usual_ms = times.recent_ms = INFINITY
    times.key_at = -1


@cython.final
cdef class EventTimes:
    """The event times of the market data frames of each slot. It belongs to one event loop.

    Args:
        topics: the table whose slots are measured.
        keeps_updates: keep the last event time of each slot for `updated_ms`.
    """

    def __cinit__(self, TopicTable topics not None, *, bint keeps_updates=False):
        self._topics = topics
        self._keeps_updates = keeps_updates

    def __dealloc__(self):
        PyMem_Free(self._times_ptr)

    cdef int _reserve(self) except -1:
        # From here on, each slot of the table is below the capacity.
        cdef:
            Py_ssize_t slot
            Py_ssize_t capacity = 2 * self._topics.slot_limit()
            Times* times_ptr
        if self._topics.slot_limit() <= self._capacity:
            return 0
        times_ptr = <Times*>PyMem_Realloc(self._times_ptr, capacity * sizeof(Times))
        if times_ptr == NULL:
            raise MemoryError(f"no memory for the event times of {capacity} topics")
        for slot in range(self._capacity, capacity):
            _reset(times_ptr + slot)
        self._times_ptr = times_ptr
        self._capacity = capacity
        return 0

    cdef Times* _times(self, Py_ssize_t slot) except NULL:
        self._topics.check_slot(slot)
        self._reserve()
        return &self._times_ptr[slot]

    # --- clocks -----------------------------------------------------------------------------------

    def set_clock(self, int64_t machine_ns, int64_t clock_ns, double speed, double limit_s):
        """Start to compare event times with receive times, or update the clocks.

        Args:
            machine_ns: now on the machine's own clock, in ns since the Unix epoch, as in `Frame.received_ns`.
            clock_ns: now on the clock of the event times, without steps, in ns since the Unix epoch.
            speed: how many seconds of that clock pass in a second of the machine's.
            limit_s: from which lateness on a batch may be late, in seconds of that clock.
        """
        self._machine_ns = machine_ns
        self._clock_ms = clock_ns / 1e6
        self._speed = speed
        self._limit_ms = 1e3 * limit_s

    @property
    def newest_ms(self):
        """The latest event time so far, in ms since the Unix epoch."""
        return self._newest_ms

    @newest_ms.setter
    def newest_ms(self, int64_t value):
        self._newest_ms = value

    def transit_ms(self, int64_t received_ns, int64_t event_ms):
        """The time from an event time to a receive time, in ms of the clock of the event times."""
        return self._transit_ms(received_ns, event_ms)

    cdef double _transit_ms(self, int64_t received_ns, int64_t event_ms) noexcept:
        return (received_ns - self._machine_ns) * 1e-6 * self._speed + self._clock_ms - event_ms

    # --- the usual time ---------------------------------------------------------------------------

    def usual_ms(self, Py_ssize_t slot):
        """The usual time from `_updated` to the receive time of a slot's frames, in ms; None if unknown.

        Raises:
            UsageError: the slot has no topic.
        """
        cdef double usual_ms = self._times(slot).usual_ms
        return None if usual_ms == INFINITY else usual_ms

    def set_usual_ms(self, Py_ssize_t slot, double usual_ms):
        """Replace the usual time of a slot.

        Raises:
            UsageError: the slot has no topic.
        """
        cdef Times* times = self._times(slot)
        times.usual_ms = times.recent_ms = usual_ms

    def forget_usual(self):
        """Forget the usual time of every slot, because the gateway's clock was set."""
        cdef Py_ssize_t slot
        for slot in range(self._capacity):
            self._times_ptr[slot].usual_ms = self._times_ptr[slot].recent_ms = INFINITY
        self._newest_ms = 0

    def start_window(self):
        """Start a new window: from now on the usual time is that of the last window, so that it follows a drift."""
        cdef:
            Py_ssize_t slot
            Times* times
        for slot in range(self._capacity):
            times = &self._times_ptr[slot]
            if times.recent_ms != INFINITY:
                times.usual_ms = times.recent_ms
                times.recent_ms = INFINITY

    cdef bint is_suspect(self, Batch batch) except -1:
        cdef:
            Py_ssize_t index
            Py_ssize_t left = MOST_TRIED
            int32_t slot
            int64_t event_ms
            double transit_ms
            Times* times
        if self._speed == 0.0:
            return False
        self._reserve()
        for index in range(batch.frame_count):
            slot = self._topics.slots_ptr[index]
            if slot < 0 or batch.kinds_ptr[index] != KIND_MARKET_DATA:
                continue
            event_ms = _event_ms(batch, index)
            times = &self._times_ptr[slot]
            if event_ms < 0 or event_ms == times.compared_ms:
                left -= 1
                if left == 0:
                    return False
                continue
            times.compared_ms = event_ms
            transit_ms = self._transit_ms(batch.received_ns_ptr[index], event_ms)
            if times.usual_ms == INFINITY:
                times.usual_ms = times.recent_ms = transit_ms
                return False
            if not -self._limit_ms <= transit_ms - times.usual_ms <= self._limit_ms:
                return True
            if transit_ms < times.usual_ms:
                times.usual_ms = transit_ms
            if transit_ms < times.recent_ms:
                times.recent_ms = transit_ms
            if event_ms > self._newest_ms:
                self._newest_ms = event_ms
            return False
        return False

    def measure(self, Batch batch not None):
        """Return the event times of the frames of a batch.

        Returns:
            For each frame: its slot, negative without a subscription; its event time in ms since the Unix epoch, -1 if
            it has none; and the time from there to its receive time in ms.
        """
        cdef:
            Py_ssize_t index
            int32_t slot
            int64_t event_ms
            double transit_ms
            Times* times
            list slots = self._topics.slots_of(batch)
            list found = []
        self._reserve()
        for index in range(batch.frame_count):
            slot = slots[index]
            event_ms = -1
            transit_ms = 0.0
            if slot >= 0 and batch.kinds_ptr[index] == KIND_MARKET_DATA:
                event_ms = _event_ms(batch, index)
            if event_ms >= 0:
                transit_ms = self._transit_ms(batch.received_ns_ptr[index], event_ms)
                times = &self._times_ptr[slot]
                # A time that stays longer becomes the usual one in the next window.
                if transit_ms < times.recent_ms:
                    times.recent_ms = transit_ms
            found.append((slot, event_ms, transit_ms))
        return found

    # --- the last event time ----------------------------------------------------------------------

    cdef int keep_resolved(self, Batch batch) except -1:
        cdef:
            Py_ssize_t index
            int32_t slot
        if not self._keeps_updates:
            return 0
        self._reserve()
        for index in range(batch.frame_count):
            slot = self._topics.slots_ptr[index]
            if slot >= 0 and batch.kinds_ptr[index] == KIND_MARKET_DATA:
                self._keep(batch, index, &self._times_ptr[slot])
        return 0

    cdef int _keep(self, Batch batch, Py_ssize_t index, Times* times) noexcept:
        # Keeps the digits, and decodes them when they are requested. The key is nearly always where it was before.
        cdef:
            Py_ssize_t start = batch.offsets_ptr[index]
            Py_ssize_t length = batch.offsets_ptr[index + 1] - start
            const char* text_ptr = batch.arena_ptr + start
            Py_ssize_t at = times.key_at
        if not _is_key_at(text_ptr, length, at):
            at = _find_key(text_ptr, length)
            if at < 0:
                return 0
            times.key_at = <int32_t>at
        times.first_digits = word_at(text_ptr, length, at + KEY_LEN)
        times.last_digits = word_at(text_ptr, length, at + KEY_LEN + TIME_LEN - 8)
        times.has_updated = True
        return 0

    def updated_ms(self, Py_ssize_t slot):
        """The event time of a slot's last frame with one, in ms since the Unix epoch; None if there was none.

        Raises:
            UsageError: the slot has no topic.
        """
        cdef Times* times = self._times(slot)
        if not times.has_updated:
            return None
        first = (<object>times.first_digits).to_bytes(8, "little")
        last = (<object>times.last_digits).to_bytes(8, "little")
        digits = first + last[16 - TIME_LEN:]
        return int(digits) if digits.isdigit() else None

    def clear(self, Py_ssize_t slot):
        """Forget everything about a slot. Call it before the topic is removed from the table.

        Raises:
            UsageError: the slot has no topic.
        """
        _reset(self._times(slot))

    def __reduce__(self):
        raise TypeError("EventTimes cannot be copied or pickled")
