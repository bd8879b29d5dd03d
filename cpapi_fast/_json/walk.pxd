"""The walk: reads wanted numbers from the top level of a JSON object into columns. C only, no GIL.

It runs on the object iterator, and returns True after one whole object with nothing behind it. It returns False when a
decoder must take over (the slow path). For valid JSON a True result is what a full decode gives:

* Keys are compared as they are written. A key with a backslash needs the slow path.
* Values of unwanted keys are not read. A wanted value that is neither text nor number needs the slow path.
* Of equal keys the last one counts: later members overwrite earlier ones, and the walk goes to the end.
* Bytes beyond ASCII are in no wanted key and in no number; nor would U+FFFD in their place be.

For invalid JSON, an error inside of an unwanted value, or of a text that is not a number, may stay undetected. The
number of a field is then what stands in the text after its key.
"""

from libc.math cimport NAN
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcmp

from .decimals cimport (
    NO_NUMBER,
    NUMBER,
    UNSURE,
    read_json_number,
    read_number_text,
    read_short_integer,
    read_short_text,
)
from .structural_index cimport Quotes, quotes_of
from .object_iterator cimport LAST_MEMBER, NOT_AN_OBJECT, Member, next_key, next_value, object_start
from .scan cimport byte_at, skip_spaces, word_at


# One entry of the hash table over the wanted keys of up to 8 bytes.
cdef struct KeySlot:
    # The key as it is written: its bytes and, if 8 bytes have room for it, its closing quote. 0: the entry is empty.
    uint64_t packed
    Py_ssize_t field


# A wanted key of more than 8 bytes.
cdef struct LongKey:
    const char* text_ptr
    Py_ssize_t text_len
    Py_ssize_t field


# Which keys are wanted, and the column of each.
cdef struct KeyTable:
    # A power of two of entries, most of them empty. A key is at `slot_of`, or further on with no empty entry between.
    KeySlot* slots_ptr
    size_t last_slot
    LongKey* long_keys_ptr
    Py_ssize_t long_key_count


cdef enum:
    NOT_WANTED = -1
    ESCAPED_KEY = -2


cdef inline size_t slot_of(const KeyTable* table, uint64_t packed) noexcept nogil:
    # The high half of the product depends on every byte of the key.
    return <size_t>((packed * 0x9E3779B97F4A7C15u) >> 32) & table.last_slot


cdef inline void add_key(KeyTable* table, uint64_t packed, Py_ssize_t field) noexcept nogil:
    # The table has an empty entry, and does not have this key.
    cdef size_t slot = slot_of(table, packed)
    while table.slots_ptr[slot].packed != 0:
        slot = (slot + 1) & table.last_slot
    table.slots_ptr[slot].packed = packed
    table.slots_ptr[slot].field = field


cdef inline Py_ssize_t find_key(
    const KeyTable* table, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t end,
    bint has_backslash
) noexcept nogil:
    # The column of the key text_ptr[start:end], NOT_WANTED or ESCAPED_KEY. text_ptr[end] is its closing quote.
    cdef:
        Py_ssize_t length = end - start
        Py_ssize_t index
        uint64_t packed = 0
        size_t slot

    if has_backslash and memchr(text_ptr + start, c"\\", <size_t>length) != NULL:
        return ESCAPED_KEY
    if length > 8:
        for index in range(table.long_key_count):
            if (
                table.long_keys_ptr[index].text_len == length
                and memcmp(table.long_keys_ptr[index].text_ptr, text_ptr + start, <size_t>length) == 0
            ):
                return table.long_keys_ptr[index].field
        return NOT_WANTED
    if start <= text_len - 8:
        packed = word_at(text_ptr, text_len, start)
        if length < 7:
            packed &= (<uint64_t>1 << (8 * (length + 1))) - 1
    else:
        # Within the last 8 bytes of a text, which is rare. The key and its quote have at most 7 bytes then.
        for index in range(length + 1):
            packed |= <uint64_t>byte_at(text_ptr, text_len, start + index) << (8 * index)
    if packed == 0:
        # Eight zero bytes, which valid JSON does not have, would equal an empty entry.
        return NOT_WANTED
    slot = slot_of(table, packed)
    while table.slots_ptr[slot].packed != packed:
        if table.slots_ptr[slot].packed == 0:
            return NOT_WANTED
        slot = (slot + 1) & table.last_slot
    return table.slots_ptr[slot].field


cdef inline bint walk_object(
    const KeyTable* table, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t stride,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) noexcept nogil:
    # Writes entry `field * stride` of the arrays for each wanted key that the object has, and no other entry.
    cdef:
        Quotes quotes = quotes_of(text_ptr, text_len)
        Py_ssize_t position = object_start(text_ptr, text_len)
        Py_ssize_t start, end, field, entry
        Member member
        double value = NAN
        uint8_t prefix
        int found, step

    if position < 0:
        return False
    while True:
        if not next_key(&quotes, &position, &member):
            return False
        field = find_key(table, text_ptr, text_len, member.key_start, member.key_end, quotes.has_backslash)
        if field == ESCAPED_KEY:
            return False
        step = next_value(&quotes, &position, &member)
        if step == NOT_AN_OBJECT:
            return False
        if field >= 0:
            found = NO_NUMBER
            prefix = 0
            start = member.value_start
            end = member.value_end
            if member.first == c'"':
                start += 1
                end -= 1
                if read_short_text(text_ptr, text_len, start, end, &value):
                    found = NUMBER
                else:
                    found = read_number_text(text_ptr, text_len, start, &value, &prefix)
                    if found == UNSURE or (
                        found == NO_NUMBER
                        and quotes.has_backslash
                        and memchr(text_ptr + start, c"\\", <size_t>(end - start)) != NULL
                    ):
                        return False
            elif member.first | 0x20 == c"{":
                # A list or object.
                return False
            else:
                # A number; a word such as null needs the slow path.
                found = NUMBER
                if not read_short_integer(text_ptr, text_len, start, end, &value):
                    start = read_json_number(text_ptr, text_len, start, &value)
                    if start < 0 or (start != end and skip_spaces(text_ptr, text_len, start) != end):
                        return False
            entry = field * stride
            values_ptr[entry] = value if found == NUMBER else NAN
            valid_ptr[entry] = found == NUMBER
            prefixes_ptr[entry] = prefix
        if step == LAST_MEMBER:
            return True
