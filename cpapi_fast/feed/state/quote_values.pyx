"""Reads the values of a quote from the last values: all of them at one moment, since a given time."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int32_t, int64_t

from cpapi_fast.feed.last_values cimport SHORT, Field, LastValues
from cpapi_fast.frames.classifier cimport KIND_MARKET_DATA, NO_CONID
from cpapi_fast.frames.frame cimport new_frame
from cpapi_fast.messages.member cimport shared_key

from orjson import loads as _loads

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.protocol.fields import FIELDS as _FIELDS

cdef enum:
    # The length of a value that is stored with its whole frame, as in LastValues.
    IN_FRAME = -1
    # Every integer of so many digits fits into 64 bits.
    MOST_DIGITS = 18


# The times of one value, as `Quote` unpacks them.
cdef packed struct Times:
    int64_t received_ns
    double updated_s


# Keys that messages find faster.
cdef dict _NAMES = {
    name.encode(): shared_key(name) for name in (*_FIELDS, "_updated", "conid", "conidEx", "server_id", "87_raw")
}


cdef object _decoded(const char* text_ptr, Py_ssize_t length):
    # The value of a JSON text: plain texts and integers at once, all others by the decoder of payloads.
    cdef:
        Py_ssize_t index = 0
        int64_t number = 0
        bint is_negative
        char byte
    if length >= 2 and text_ptr[0] == c'"' and text_ptr[length - 1] == c'"':
        for index in range(1, length - 1):
            byte = text_ptr[index]
            if byte < 0x20 or byte == 0x7f or byte == c"\\" or byte == c'"':
                break
        else:
            return PyUnicode_DecodeASCII(text_ptr + 1, length - 2, NULL)
    elif length > 0:
        is_negative = text_ptr[0] == c"-"
        index = 1 if is_negative else 0
        if 0 < length - index <= MOST_DIGITS and (text_ptr[index] != c"0" or length - index == 1 and not is_negative):
            while index < length and c"0" <= text_ptr[index] <= c"9":
                number = number * 10 + (text_ptr[index] - c"0")
                index += 1
            if index == length:
                return -number if is_negative else number
        if c"0" <= text_ptr[length - 1] <= c"9":
            # A number. It needs no repair of its UTF-8, unlike other payloads.
            try:
                return _loads(PyBytes_FromStringAndSize(text_ptr, length))
            except ValueError:
                pass
    return new_frame(text_ptr, length, 0, NO_CONID, -1, 0, KIND_MARKET_DATA, None).payload


def quote_values(LastValues values not None, Py_ssize_t slot, double since_s):
    """Return the values of a topic that were updated at `since_s` or later.

    Args:
        values: has the values.
        slot: the slot of the topic.
        since_s: a time of the clock that `LastValues.update` was called with.

    Returns:
        By key on the wire, the values as JSON decodes them; for each of them 16 bytes with `received_ns` (int64, ns
        since the Unix epoch) and the time of its update (float64); and both times of the latest one, zeros without
        one. No value if the slot was not added.
    """
    cdef:
        Py_ssize_t index = 0
        Py_ssize_t count = 0
        Py_ssize_t limit
        Field* field
        Times* times_ptr
        Times latest = Times(0, 0.0)
        Times current
        int32_t length
        bytes key, frame, times
        dict found = {}
        dict payloads = {}
        object name, value
    if slot < 0 or slot >= values._capacity or not values._topics_ptr[slot].is_kept:
        return found, b"", 0, 0.0
    limit = values._topics_ptr[slot].field_count
    times = PyBytes_FromStringAndSize(NULL, limit * sizeof(Times))
    times_ptr = <Times*>PyBytes_AS_STRING(times)
    # Decoding may run Python code, which may change the values: no pointer to them is held across it.
    while index < limit and index < values._topics_ptr[slot].field_count:
        field = &values._topics_ptr[slot].fields_ptr[index]
        index += 1
        current.received_ns = field.received_ns
        current.updated_s = field.updated_s
        if current.updated_s < since_s:
            continue
        length = field.length
        key = <bytes>values._keys.texts[field.key]
        if length == IN_FRAME:
            frame = values._frames[slot][field.key]
            if frame not in payloads:
                payloads[frame] = new_frame(
                    PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), 0, NO_CONID, -1, 0, KIND_MARKET_DATA, None
                ).payload
            name = key.decode()
            value = payloads[frame][name]
        else:
            try:
                value = _decoded(&field.text[0] if length <= SHORT else field.long_ptr, length)
            except MalformedPayloadError:
                # The frame is not JSON, and the object iterator does not detect that inside of a value.
                continue
            name = _NAMES.get(key)
            if name is None:
                name = key.decode()
        found[name] = value
        times_ptr[count] = current
        count += 1
        if current.updated_s >= latest.updated_s:
            latest = current
    return found, times[:count * sizeof(Times)], latest.received_ns, latest.updated_s
