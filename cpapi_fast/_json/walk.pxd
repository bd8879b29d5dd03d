"""The walk: reads the numbers and texts of wanted keys at the top level of a JSON object into columns. C only, no GIL.

The walk uses the object iterator. It returns True after one whole object with nothing after it, and False if the text
needs a decoder (the slow path). If it returns True for valid JSON, the columns equal those of a full decode:

* Keys are compared byte by byte. A key with a backslash needs the slow path.
* Values of unwanted keys are not read. A number that is neither a string nor a number needs the slow path.
* A text is the position of a string's content. A string with a backslash needs the slow path; a value that is not a
  string is no text.
* If a key is repeated, the last one counts: later members overwrite earlier ones, and the walk reads to the end.
* No wanted key and no number has bytes beyond ASCII, so it does not matter whether those are valid UTF-8. The caller
  checks the bytes of texts.

In invalid JSON, an error inside an unwanted value, or inside a string that is not a number, may stay undetected. The
number of a field is then read from the text after its key.
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

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
from .scan cimport byte_at, skip_spaces, trailing_zeros, word_at


cdef enum:
    # Added to the field of a key whose value is read as a text.
    TEXT_FIELD = 0x40000000


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


cdef enum:
    # Added to the bits of a NaN, which show why a field has no value: the member is there, or the text is not JSON. The
    # NaN of a member that is missing has neither.
    NO_VALUE = 1
    NOT_JSON = 2


cdef inline double nan_of(uint64_t reason) noexcept nogil:
    # A quiet NaN with a reason.
    cdef:
        uint64_t bits = 0x7FF8000000000000u | reason
        double value
    memcpy(&value, &bits, 8)
    return value


cdef inline bint is_nan_of(double value, uint64_t reason) noexcept nogil:
    # Whether a value is the NaN with this reason.
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return bits == (0x7FF8000000000000u | reason)


cdef inline double span_value(Py_ssize_t start, Py_ssize_t length) noexcept nogil:
    # The position of a text in the place of a number: two 32-bit integers in the eight bytes of a double.
    cdef:
        uint64_t bits = <uint64_t>start << 32 | <uint64_t>length
        double value
    memcpy(&value, &bits, 8)
    return value


cdef inline Py_ssize_t span_of(double value, Py_ssize_t* length) noexcept nogil:
    # Returns the start of a text, and sets its length.
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    length[0] = <Py_ssize_t>(bits & 0xFFFFFFFFu)
    return <Py_ssize_t>(bits >> 32)


cdef inline bint has_backslash(const char* text_ptr, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    # A text has less than 2 GiB. The comparison is for compilers, which cannot know the range of the length.
    cdef Py_ssize_t length = end - start
    return 0 < length <= 0x7FFFFFFF and memchr(text_ptr + start, c"\\", <size_t>length) != NULL


cdef inline bint is_no_value(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t end
) noexcept nogil:
    # Whether the content of a string is one with which the gateway states that there is no number: nothing, - or N/A.
    cdef Py_ssize_t length = end - start
    if length == 1:
        return byte_at(text_ptr, text_len, start) == c"-"
    return length == 0 or (
        length == 3
        and byte_at(text_ptr, text_len, start) == c"N"
        and byte_at(text_ptr, text_len, start + 1) == c"/"
        and byte_at(text_ptr, text_len, start + 2) == c"A"
    )


cdef inline bint walk_object(
    const KeyTable* table, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t stride,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr, int64_t* mismatches_ptr
) noexcept nogil:
    # Writes entry `field * stride` of the first three arrays for each wanted key of the object, and no other entry. The
    # value of a text is `span_value` of its position, that of a member without a number or text is `nan_of(NO_VALUE)`.
    # If it returns True, it has incremented entry `field` of mismatches_ptr for each value that is neither of the
    # field's kind nor one without a value.
    cdef:
        Quotes quotes = quotes_of(text_ptr, text_len)
        Py_ssize_t position = object_start(text_ptr, text_len)
        Py_ssize_t start, end, field, entry
        Member member
        double value = NAN
        # One bit per field. They are counted at the end, because the slow path counts for itself.
        uint64_t mismatched = 0
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
            if field >= TEXT_FIELD:
                field -= TEXT_FIELD
                if member.first == c'"':
                    if quotes.has_backslash and has_backslash(text_ptr, start, end):
                        return False
                    value = span_value(start + 1, end - start - 2)
                    found = NUMBER
                elif member.first != c"n":
                    if field >= 64:
                        return False
                    mismatched |= <uint64_t>1 << field
            elif member.first == c'"':
                start += 1
                end -= 1
                if read_short_text(text_ptr, text_len, start, end, &value):
                    found = NUMBER
                else:
                    found = read_number_text(text_ptr, text_len, start, &value, &prefix)
                    if found == UNSURE or (
                        found == NO_NUMBER and quotes.has_backslash and has_backslash(text_ptr, start, end)
                    ):
                        return False
                    if found == NO_NUMBER and not is_no_value(text_ptr, text_len, start, end):
                        if field >= 64:
                            return False
                        mismatched |= <uint64_t>1 << field
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
            values_ptr[entry] = value if found == NUMBER else nan_of(NO_VALUE)
            valid_ptr[entry] = found == NUMBER
            prefixes_ptr[entry] = prefix
        if step == LAST_MEMBER:
            while mismatched != 0:
                field = trailing_zeros(mismatched)
                mismatches_ptr[field] += not valid_ptr[field * stride]
                mismatched &= mismatched - 1
            return True
