"""The walk: reads the numbers of wanted keys at the top level of a JSON object into columns. C only, no GIL.

The walk uses the object iterator. It returns True after one whole object with nothing after it, and False if the text
needs a decoder (the slow path). If it returns True for valid JSON, the columns equal those of a full decode:

* Keys are compared byte by byte. A key with a backslash needs the slow path.
* Values of unwanted keys are not read. A wanted value that is neither a string nor a number needs the slow path.
* If a key is repeated, the last one counts: later members overwrite earlier ones, and the walk reads to the end.
* No wanted key and no number has bytes beyond ASCII, so it does not matter whether those are valid UTF-8.

In invalid JSON, an error inside an unwanted value, or inside a string that is not a number, may stay undetected. The
number of a field is then read from the text after its key.
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
    # The bytes of the key and, if it has fewer than 8, its closing quote. 0: the entry is empty.
    uint64_t packed
    Py_ssize_t field


# A wanted key of more than 8 bytes.
cdef struct LongKey:
    const char* text_ptr
    Py_ssize_t text_len
    Py_ssize_t field


# The wanted keys and their columns.
cdef struct KeyTable:
    # The number of entries is a power of two, and most are empty. A key is in the entry `slot_of(key)`, or in a later
    # one with no empty entry in between.
    KeySlot* slots_ptr
    size_t last_slot
    LongKey* long_keys_ptr
    Py_ssize_t long_key_count


cdef enum:
    NOT_WANTED = -1
    ESCAPED_KEY = -2


cdef inline size_t slot_of(const KeyTable* table, uint64_t packed) noexcept nogil:
    # The high half of the product depends on all bytes of the key.
    return <size_t>((packed * 0x9E3779B97F4A7C15u) >> 32) & table.last_slot


cdef inline void add_key(KeyTable* table, uint64_t packed, Py_ssize_t field) noexcept nogil:
    # The table must have an empty entry and must not contain this key.
    cdef size_t slot = slot_of(table, packed)
    while table.slots_ptr[slot].packed != 0:
        slot = (slot + 1) & table.last_slot
    table.slots_ptr[slot].packed = packed
    table.slots_ptr[slot].field = field


cdef inline Py_ssize_t find_key(
    const KeyTable* table, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t end,
    bint has_backslash
) noexcept nogil:
    # Returns the column of the key text_ptr[start:end], NOT_WANTED or ESCAPED_KEY. text_ptr[end] is its closing quote.
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
        # The key starts in the last 7 bytes of the text, which is rare.
        for index in range(length + 1):
            packed |= <uint64_t>byte_at(text_ptr, text_len, start + index) << (8 * index)
    if packed == 0:
        # Eight zero bytes would equal an empty entry. Valid JSON has no zero bytes.
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
    # Writes entry `field * stride` of the arrays for each wanted key of the object, and no other entry.
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
