"""The walk over the top level of a JSON object that picks numbers out of it: C only, no GIL.

It answers True when it has stepped over one whole object with nothing after it, and False for whatever it finds odd;
then a real decoder has to say. What it answers about valid JSON is what a full decode gives:

* Outside of a string, and at its start, quotes that are not escaped open and close in turn. The walk takes them in
  order, so it sees exactly the keys and strings of the top level; nested values it steps over by counting brackets.
* Keys are compared as they are written. One with a backslash is odd, and any other is its own text.
* Values nobody asked for are not looked into. A number or word among them ends where the comma before the next key
  stands, or at the closing brace. A wanted value that is neither text nor number is odd.
* Of equal keys the last one counts: later members overwrite earlier ones, and the walk goes to the end.
* Bytes beyond ASCII are part of no wanted key and of no number, and U+FFFD in their place would not be either.

On text that is not valid JSON the walk may notice nothing, where the fault lies inside of a value that nobody asked for
or of a text that is no number. What it then reports as the number of a field stands in the text after its key.
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
from .marks cimport Quotes, brackets_end, peek_quote, quotes_of, take_quote
from .scan cimport byte_at, skip_spaces, word_at


# One place of the hash table over the wanted keys of up to 8 bytes.
cdef struct KeySlot:
    # The key as it stands in the text: its bytes and, where there is room in 8, its closing quote. 0: nothing here.
    uint64_t packed
    Py_ssize_t field


# A wanted key of more than 8 bytes.
cdef struct LongKey:
    const char* text_ptr
    Py_ssize_t text_len
    Py_ssize_t field


# Which keys are wanted, and the column of each.
cdef struct KeyTable:
    # A power of two of places, most of them empty. A key is at `slot_of`, or further on with no empty place between.
    KeySlot* slots_ptr
    size_t last_slot
    LongKey* long_keys_ptr
    Py_ssize_t long_key_count


cdef enum:
    NOT_WANTED = -1
    ODD_KEY = -2


cdef inline size_t slot_of(const KeyTable* table, uint64_t packed) noexcept nogil:
    # The high half of the product depends on every byte of the key.
    return <size_t>((packed * 0x9E3779B97F4A7C15u) >> 32) & table.last_slot


cdef inline void add_key(KeyTable* table, uint64_t packed, Py_ssize_t field) noexcept nogil:
    # The table has an empty place, and not this key.
    cdef size_t slot = slot_of(table, packed)
    while table.slots_ptr[slot].packed != 0:
        slot = (slot + 1) & table.last_slot
    table.slots_ptr[slot].packed = packed
    table.slots_ptr[slot].field = field


cdef inline Py_ssize_t find_key(
    const KeyTable* table, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t end,
    bint has_backslash
) noexcept nogil:
    # Which column the key text_ptr[start:end] is, or one of the two above. text_ptr[end] is its closing quote.
    cdef:
        Py_ssize_t length = end - start
        Py_ssize_t index
        uint64_t packed = 0
        size_t slot

    if has_backslash and memchr(text_ptr + start, c"\\", <size_t>length) != NULL:
        return ODD_KEY
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
        # The last bytes of a text hardly ever hold a key; with its quote it is one of at most 7 then.
        for index in range(length + 1):
            packed |= <uint64_t>byte_at(text_ptr, text_len, start + index) << (8 * index)
    if packed == 0:
        # Eight zero bytes, which no JSON has; an empty slot looks the same.
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
    # Entry `field * stride` of the arrays is written for each wanted key that is there, and no other.
    cdef:
        Quotes quotes = quotes_of(text_ptr, text_len)
        Py_ssize_t position = skip_spaces(text_ptr, text_len, 0)
        Py_ssize_t start, end, field, entry
        unsigned char byte
        double value = NAN
        uint8_t prefix
        int found

    if position >= text_len or byte_at(text_ptr, text_len, position) != c"{":
        return False
    while True:
        # At the brace or comma before a key.
        start = take_quote(&quotes)
        if start != position + 1 and start != skip_spaces(text_ptr, text_len, position + 1):
            return False
        end = take_quote(&quotes)
        # Two bytes at least stand behind a key: its colon and its value.
        if end < 0 or end > text_len - 3:
            return False
        field = find_key(table, text_ptr, text_len, start + 1, end, quotes.has_backslash)
        if field == ODD_KEY:
            return False
        position = end + 1
        if byte_at(text_ptr, text_len, position) != c":":
            position = skip_spaces(text_ptr, text_len, position)
            if position >= text_len - 1 or byte_at(text_ptr, text_len, position) != c":":
                return False
        position += 1
        byte = byte_at(text_ptr, text_len, position)
        if byte <= c" ":
            position = skip_spaces(text_ptr, text_len, position)
            if position >= text_len:
                return False
            byte = byte_at(text_ptr, text_len, position)

        # At the first byte of a value.
        found = NO_NUMBER
        prefix = 0
        if byte == c'"':
            start = take_quote(&quotes) + 1
            end = take_quote(&quotes)
            if end < 0:
                return False
            if field >= 0:
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
            position = end + 1
        elif byte | 0x20 == c"{":              # or [, which is the other byte that this bit makes one of
            # A list or object that was asked for is odd.
            position = -1 if field >= 0 else brackets_end(text_ptr, text_len, position, &quotes)
            if position < 0:
                return False
        else:
            start = position
            position = scalar_end(text_ptr, text_len, start, peek_quote(&quotes))
            if field >= 0:
                # So is a word, or nothing at all.
                found = NUMBER
                if not read_short_integer(text_ptr, text_len, start, position, &value):
                    position = read_json_number(text_ptr, text_len, start, &value)
                    if position < 0:
                        return False
        if field >= 0:
            entry = field * stride
            values_ptr[entry] = value if found == NUMBER else NAN
            valid_ptr[entry] = found == NUMBER
            prefixes_ptr[entry] = prefix

        if position >= text_len:
            return False
        byte = byte_at(text_ptr, text_len, position)
        if byte <= c" ":
            position = skip_spaces(text_ptr, text_len, position)
            if position >= text_len:
                return False
            byte = byte_at(text_ptr, text_len, position)
        if byte == c"}":
            return skip_spaces(text_ptr, text_len, position + 1) == text_len
        if byte != c",":
            return False


cdef inline Py_ssize_t scalar_end(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position, Py_ssize_t next_quote
) noexcept nogil:
    # `position` is the first byte of a number or word; the answer is the comma or brace after it, or the end.
    cdef unsigned char byte
    if next_quote > position and byte_at(text_ptr, text_len, next_quote - 1) == c",":
        return next_quote - 1
    while position < text_len:
        byte = byte_at(text_ptr, text_len, position)
        if byte == c"," or byte == c"}":
            break
        position += 1
    return position
