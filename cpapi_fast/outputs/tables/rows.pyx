"""Rows of market data in typed columns: each frame as sent, or the whole state after each frame

A row is made from the bytes of a frame without a Python object, and exported through the Arrow C data interface.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t

from cpapi_fast._json.walk cimport NO_VALUE, NOT_JSON, is_nan_of
from cpapi_fast.frames.batch cimport Batch
from cpapi_fast.frames.text_table cimport TextTable
from cpapi_fast.frames.tick_decoder cimport TickDecoder
from cpapi_fast.frames.ticks cimport Ticks, is_time

from .collected_rows cimport ASK_PRICE, AVAILABILITY, BID_PRICE, LAST_PRICE, SYMBOL, UPDATED, CollectedRows
from .subscription_states cimport NO_TEXT, NOT_ADDED, State, SubscriptionStates

from cpapi_fast.errors import ConfigError

# The fields of every table. The first ones have the positions of collected_rows.pxd.
cdef tuple _FIRST = ("_updated", "6509", "55", "31", "84", "86")

# How many other topics than those of `targets` have a state, and how long their targets may be.
cdef enum:
    MOST_OTHERS = 1000
    LONGEST_TARGET = 256
    # How many bytes a text may have to be carried forward.
    LONGEST_CARRIED = 1024


@cython.final
cdef class TableRows:
    """Collects rows of market data until they are taken as record batches. Not thread-safe, except for `latest`.

    Pass each batch to `begin`, then call `move` until `left` is 0, and `take` whenever there are enough rows.

    Args:
        fields: the members of frames to decode, each with the name of its column, in the order of the columns. The
            first six are `_updated`, `6509`, `55`, `31`, `84` and `86`.
        carries: whether each row is the whole state after its frame. Then a value that a frame does not have is that
            of the row before, in the same segment, unless it is a text of more than 1,024 bytes. And the second of the
            two snapshots after a subscribe is no row.
        targets: the targets that were subscribed to. They and 1,000 others have a state of their own; the rows of more
            targets contain the values of their own frame only.
        capacity: how many rows can be collected.

    Raises:
        ConfigError: the first fields are others, or `capacity` is below 1.
    """

    cdef:
        TickDecoder _decoder
        SubscriptionStates _states
        tuple _names
        bint _carries
        Py_ssize_t _capacity
        # Collected rows: those that are being filled, None before the first one, and full ones before them.
        CollectedRows _rows
        # The texts of all codes. Of their bytes, how many are counted, and how many were added for the collected rows.
        TextTable _texts
        Py_ssize_t _counted_bytes
        Py_ssize_t _held_bytes
        list _taken
        Py_ssize_t _taken_count
        # The batch whose rows are moved, the columns of its frames, and the next row.
        Batch _batch
        Ticks _source
        Py_ssize_t _next
        # How many frames were no rows: texts that are not JSON, and repeated snapshots.
        Py_ssize_t _malformed
        Py_ssize_t _repeated
        # How many event times are in no year that a timestamp can have.
        Py_ssize_t _wrong_times

    def __cinit__(self, fields, *, bint carries, targets=(), Py_ssize_t capacity=65536):
        cdef list pairs = list(fields)
        if tuple(code for code, _ in pairs[:6]) != _FIRST or capacity < 1:
            raise ConfigError(f"rows need the fields {', '.join(_FIRST)} first, and a capacity of at least 1")
        self._decoder = TickDecoder([code for code, _ in pairs])
        self._names = tuple(name for _, name in pairs)
        self._carries = carries
        self._capacity = capacity
        self._states = SubscriptionStates(len(pairs), targets, MOST_OTHERS, LONGEST_TARGET)
        self._texts = self._decoder._texts
        self._taken = []

    def begin(self, Batch batch not None):
        """Decode a batch, whose rows are then moved, and return the number of its market data frames."""
        cdef Ticks source = self._decoder.decode(batch)
        if source.texts_table is not self._texts:
            # The decoder has begun a new table of texts.
            self._seal()
            self._decoder._keep_texts(self._states.move_texts(self._texts, source.texts_table))
            self._texts = source.texts_table
            self._counted_bytes = 0
        # Texts that were in the old table and were moved count again, so that this is no less than what is held.
        self._held_bytes += max(self._decoder._text_bytes - self._counted_bytes, 0)
        self._counted_bytes = self._decoder._text_bytes
        self._states.topics.resolve(batch)
        self._batch = batch
        self._source = source
        self._next = 0
        return source.row_count

    @property
    def states(self):
        """The states of the subscriptions."""
        return self._states

    @property
    def malformed(self):
        """How many frames were not JSON, and have no row."""
        return self._malformed

    @property
    def repeated(self):
        """How many snapshots repeated the one before them, and have no row."""
        return self._repeated

    @property
    def text_bytes(self):
        """How many bytes of texts were received since the last `take`; rows that are collected hold them."""
        return self._held_bytes

    @property
    def left(self):
        """How many frames of the batch were not moved yet."""
        return 0 if self._source is None else self._source.row_count - self._next

    def forget(self):
        """Forget all collected rows, and what is left of the batch."""
        self._source = self._batch = None
        self._rows = None
        self._taken_count = 0
        self._taken = []
        self._held_bytes = 0

    @property
    def mismatches(self):
        """How many values of each column were not of its kind, as a dict of the columns with any."""
        counts = list(self._decoder.mismatches.values())
        counts[UPDATED] += self._wrong_times
        return {name: count for name, count in zip(self._names, counts) if count}

    def move(self, Py_ssize_t limit, int64_t most_items=1 << 62):
        """Make rows of the frames that are left, until there are `limit` more rows, or `most_items` frames were moved.

        Returns:
            The number of new rows.
        """
        cdef:
            Ticks source = self._source
            SubscriptionStates states = self._states
            Py_ssize_t before, stop, end, entry, row
        if source is None:
            return 0
        if self._rows is None:
            self._rows = CollectedRows.new(
                source, self._decoder._text_count, self._capacity, self._names, self._carries
            )
        before = self._rows.row_count
        stop = min(before + limit, self._capacity)
        end = self._next + <Py_ssize_t>min(most_items, <int64_t>(source.row_count - self._next))
        while self._next < end and self._rows.row_count < stop:
            row = self._next
            self._next += 1
            if is_nan_of(source.values_ptr[row], NOT_JSON):
                self._malformed += 1
                continue
            if source.valid_ptr[row] and not is_time(source.values_ptr[row]):
                self._wrong_times += 1
            entry = states.entry_of(self._batch, source.rows_ptr[row])
            states.begin_segment(entry, source.received_ns_ptr[row])
            if self._is_repeated(entry, row):
                self._repeated += 1
                self._note_latest(entry, row)
                continue
            self._add_row(entry, row)
            self._note_latest(entry, row)
            self._rows.row_count += 1
        if self._next >= source.row_count:
            self._source = self._batch = None
        return self._rows.row_count - before

    cdef bint _is_repeated(self, Py_ssize_t entry, Py_ssize_t row) noexcept:
        # Whether the frame is the second one of a pair of equal snapshots. Notes whether it may be the first one.
        cdef:
            Ticks source = self._source
            State* state = &self._states.states_ptr[entry]
            double updated = source.values_ptr[UPDATED * source.row_count + row]
            bint is_snapshot = source.valid_ptr[AVAILABILITY * source.row_count + row]
            bint is_second = is_snapshot and state.is_first_snapshot and updated == state.updated
        state.is_first_snapshot = False
        if self._carries and is_second and not self._changes(entry, row):
            return True
        # The NaN of a frame without an event time is not equal to itself, so it has no second one.
        state.is_first_snapshot = is_snapshot
        state.updated = updated
        return False

    cdef bint _changes(self, Py_ssize_t entry, Py_ssize_t row) noexcept:
        # Whether a frame changes a value of its subscription.
        cdef:
            Ticks source = self._source
            SubscriptionStates states = self._states
            Py_ssize_t first = entry * states.field_count
            Py_ssize_t index, at, cell
            int32_t text
        for index in range(AVAILABILITY, states.field_count):
            at = index * source.row_count + row
            cell = first + index
            if not source.valid_ptr[at]:
                if states.valid_ptr[cell] and is_nan_of(source.values_ptr[at], NO_VALUE):
                    return True
                continue
            if not states.valid_ptr[cell]:
                return True
            text = self._decoder.text_columns_ptr[index]
            if text >= 0:
                if source.codes_ptr[text * source.row_count + row] != states.codes_ptr[cell]:
                    return True
            elif (
                source.values_ptr[at] != states.values_ptr[cell] or source.prefixes_ptr[at] != states.prefixes_ptr[cell]
            ):
                return True
        return False

    cdef int _add_row(self, Py_ssize_t entry, Py_ssize_t row) except -1:
        cdef:
            Ticks source = self._source
            CollectedRows rows = self._rows
            State* state = &self._states.states_ptr[entry]
            Py_ssize_t new = rows.row_count
            Py_ssize_t index = source.rows_ptr[row]
        rows.ticks.received_ns_ptr[new] = source.received_ns_ptr[row]
        rows.ticks.conids_ptr[new] = source.conids_ptr[row]
        rows.late_ns_ptr[new] = 0 if self._batch.late_ns_ptr == NULL else self._batch.late_ns_ptr[index]
        rows.segments_ptr[new] = state.segment
        if state.target == NOT_ADDED:
            state.target = self._add_target(index)
        rows.targets_ptr[new] = state.target
        if self._carries:
            self._carry(entry, row)
        else:
            self._copy(row)
        self._add_text_of_every_row(AVAILABILITY, row, &state.availability)
        self._add_text_of_every_row(SYMBOL, row, &self._states.states_ptr[state.symbol_entry].symbol)
        return 0

    cdef void _copy(self, Py_ssize_t row) noexcept:
        # Adds the fields of a frame as they are.
        cdef:
            Ticks source = self._source
            Ticks ticks = self._rows.ticks
            const int32_t* text_columns_ptr = self._decoder.text_columns_ptr
            Py_ssize_t source_count = source.row_count
            Py_ssize_t capacity = self._rows.capacity
            Py_ssize_t at = row
            Py_ssize_t to = self._rows.row_count
            Py_ssize_t new = to
            Py_ssize_t index
        ticks.prefixes_ptr[LAST_PRICE * capacity + new] = source.prefixes_ptr[LAST_PRICE * source_count + row]
        for index in range(self._decoder.field_count):
            if text_columns_ptr[index] < 0:
                ticks.values_ptr[to] = source.values_ptr[at]
                ticks.valid_ptr[to] = source.valid_ptr[at]
            else:
                ticks.codes_ptr[text_columns_ptr[index] * capacity + new] = (
                    source.codes_ptr[text_columns_ptr[index] * source_count + row]
                )
            at += source_count
            to += capacity

    cdef void _carry(self, Py_ssize_t entry, Py_ssize_t row) noexcept:
        # Puts the fields of a frame into the state of its subscription, and adds the state.
        cdef:
            Ticks source = self._source
            Ticks ticks = self._rows.ticks
            SubscriptionStates states = self._states
            const int32_t* text_columns_ptr = self._decoder.text_columns_ptr
            Py_ssize_t source_count = source.row_count
            Py_ssize_t capacity = self._rows.capacity
            Py_ssize_t cell = entry * states.field_count
            Py_ssize_t at = row
            Py_ssize_t to = self._rows.row_count
            Py_ssize_t new = to
            Py_ssize_t index
            int32_t text
        # The event time is that of the frame.
        ticks.values_ptr[to] = source.values_ptr[at]
        ticks.valid_ptr[to] = source.valid_ptr[at]
        for index in range(AVAILABILITY, states.field_count):
            at += source_count
            to += capacity
            cell += 1
            text = text_columns_ptr[index]
            if source.valid_ptr[at]:
                states.valid_ptr[cell] = True
                states.values_ptr[cell] = source.values_ptr[at]
                states.prefixes_ptr[cell] = source.prefixes_ptr[at]
                if text >= 0:
                    states.codes_ptr[cell] = source.codes_ptr[text * source_count + row]
                    states.valid_ptr[cell] = self._is_carried(states.codes_ptr[cell])
                    ticks.codes_ptr[text * capacity + new] = states.codes_ptr[cell]
                    continue
            elif is_nan_of(source.values_ptr[at], NO_VALUE):
                states.valid_ptr[cell] = False
                states.prefixes_ptr[cell] = 0
            if text < 0:
                ticks.values_ptr[to] = states.values_ptr[cell]
                ticks.valid_ptr[to] = states.valid_ptr[cell]
            else:
                ticks.codes_ptr[text * capacity + new] = states.codes_ptr[cell] if states.valid_ptr[cell] else NO_TEXT
        ticks.prefixes_ptr[LAST_PRICE * capacity + new] = states.prefixes_ptr[entry * states.field_count + LAST_PRICE]

    cdef bint _is_carried(self, int32_t code) noexcept:
        # Whether a text is carried forward. Long ones are not, so that the memory of all states is bounded.
        return PyBytes_GET_SIZE(self._texts.texts[code]) <= LONGEST_CARRIED

    cdef void _add_text_of_every_row(self, Py_ssize_t index, Py_ssize_t row, int32_t* carried) noexcept:
        # Adds the text of a field that every row has: that of the frame, or the last one.
        cdef:
            Ticks source = self._source
            Py_ssize_t at = index * source.row_count + row
            int32_t text = self._decoder.text_columns_ptr[index]
            int32_t code
        if source.valid_ptr[at]:
            code = source.codes_ptr[text * source.row_count + row]
            # A dash is the symbol of an unknown contract.
            if code != carried[0] and (index == AVAILABILITY or <bytes>self._texts.texts[code] != b"-"):
                if not self._is_carried(code):
                    carried[0] = NO_TEXT
                    self._rows.ticks.codes_ptr[text * self._rows.capacity + self._rows.row_count] = code
                    return
                carried[0] = code
        elif index == AVAILABILITY and is_nan_of(source.values_ptr[at], NO_VALUE):
            carried[0] = NO_TEXT
        self._rows.ticks.codes_ptr[text * self._rows.capacity + self._rows.row_count] = carried[0]

    cdef int32_t _add_target(self, Py_ssize_t index) except? -1:
        # The code of the target of a frame, NO_TEXT for a plain conid.
        cdef object target = self._batch.frame_at(index).target
        if target is None:
            return NO_TEXT
        return self._decoder.add_text(<str>target)

    cdef int _note_latest(self, Py_ssize_t entry, Py_ssize_t row) except -1:
        cdef:
            Ticks source = self._source
            State* state = &self._states.states_ptr[entry]
            Py_ssize_t count = source.row_count
            int32_t code
        state.received_ns = source.received_ns_ptr[row]
        state.frame_count += 1
        if source.valid_ptr[LAST_PRICE * count + row]:
            state.last = source.values_ptr[LAST_PRICE * count + row]
            state.last_prefix = source.prefixes_ptr[LAST_PRICE * count + row]
        if source.valid_ptr[BID_PRICE * count + row]:
            state.bid = source.values_ptr[BID_PRICE * count + row]
        if source.valid_ptr[ASK_PRICE * count + row]:
            state.ask = source.values_ptr[ASK_PRICE * count + row]
        if source.valid_ptr[AVAILABILITY * count + row]:
            code = source.codes_ptr[self._decoder.text_columns_ptr[AVAILABILITY] * count + row]
            if code != state.latest_availability:
                state.latest_availability = code
                self._states.availabilities[entry] = (<bytes>self._texts.texts[code]).decode()[:LONGEST_TARGET]
        return 0

    def take(self):
        """Return the collected rows as a list of objects for `pyarrow.record_batch`, and begin with no rows."""
        self._seal()
        taken, self._taken, self._taken_count = self._taken, [], 0
        self._held_bytes = 0
        return taken

    cdef int _seal(self) except -1:
        # Ends the rows that are being filled.
        if self._rows is not None and self._rows.row_count:
            self._taken.append(self._rows)
            self._taken_count += self._rows.row_count
        self._rows = None
        return 0

    def __len__(self):
        """The number of collected rows."""
        return self._taken_count + (0 if self._rows is None else self._rows.row_count)

    def __reduce__(self):
        raise TypeError("TableRows cannot be copied or pickled")
