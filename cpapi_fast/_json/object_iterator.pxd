"""Iterates over the members at the top level of a JSON object: C only, no GIL.

The classifier's search, the columns (walk.pxd) and the last values use this iterator. It returns LAST_MEMBER after one
whole object with nothing after it. It returns NOT_AN_OBJECT if the text does not look like one JSON object; the caller
then uses a decoder. For valid JSON the iterator finds the same members as a full decode:

* The quotes that are not escaped alternately open and close strings. The iterator takes them in order, so it finds
  exactly the keys and strings of the top level. It skips nested values by counting brackets.
* A number or a word such as `null` ends at the comma before the next key, or at the closing brace.

Values are not checked. In invalid JSON, an error inside a value may stay undetected. The span of the value is then the
text between its key and the next comma or brace.
"""

from .structural_index cimport Quotes, brackets_end, peek_quote, take_quote
from .scan cimport byte_at, skip_spaces


cdef enum:
    MEMBER = 0
    LAST_MEMBER = 1
    # The text does not look like one JSON object. Use a decoder.
    NOT_AN_OBJECT = 2


# One member of an object. Its key may have escapes.
cdef struct Member:
    # The key, without its quotes.
    Py_ssize_t key_start
    Py_ssize_t key_end
    # The value: a string with its quotes, a number or word with the white space after it.
    Py_ssize_t value_start
    Py_ssize_t value_end
    # The first byte of the value.
    unsigned char first


cdef inline Py_ssize_t scalar_end(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position, Py_ssize_t next_quote
) noexcept nogil:
    # `position` is the first byte of a number or word. Returns the position of the comma or brace after it, or the end.
    cdef unsigned char byte
    if next_quote > position and byte_at(text_ptr, text_len, next_quote - 1) == c",":
        return next_quote - 1
    while position < text_len:
        byte = byte_at(text_ptr, text_len, position)
        if byte == c"," or byte == c"}":
            break
        position += 1
    return position


cdef inline Py_ssize_t object_start(const char* text_ptr, Py_ssize_t text_len) noexcept nogil:
    # Returns the position of the opening brace, for the first call of next_key(); -1 if the text has none.
    cdef Py_ssize_t position = skip_spaces(text_ptr, text_len, 0)
    if position >= text_len or byte_at(text_ptr, text_len, position) != c"{":
        return -1
    return position


cdef inline bint next_key(Quotes* quotes, Py_ssize_t* position_ptr, Member* member) noexcept nogil:
    # Finds a key. position_ptr[0] is the brace or comma before it, and is set to the first byte of its value. Returns
    # False if the text is not an object.
    cdef:
        const char* text_ptr = quotes.text_ptr
        Py_ssize_t text_len = quotes.text_len
        Py_ssize_t position = position_ptr[0]
        Py_ssize_t start = take_quote(quotes)
        Py_ssize_t end

    if start != position + 1 and start != skip_spaces(text_ptr, text_len, position + 1):
        return False
    end = take_quote(quotes)
    # At least two bytes follow a key: a colon and a value.
    if end < 0 or end > text_len - 3:
        return False
    member.key_start = start + 1
    member.key_end = end
    position = end + 1
    if byte_at(text_ptr, text_len, position) != c":":
        position = skip_spaces(text_ptr, text_len, position)
        if position >= text_len - 1 or byte_at(text_ptr, text_len, position) != c":":
            return False
    position += 1
    member.first = byte_at(text_ptr, text_len, position)
    if member.first <= c" ":
        position = skip_spaces(text_ptr, text_len, position)
        if position >= text_len:
            return False
        member.first = byte_at(text_ptr, text_len, position)
    position_ptr[0] = position
    return True


cdef inline int next_value(Quotes* quotes, Py_ssize_t* position_ptr, Member* member) noexcept nogil:
    # Finds the value of the key that next_key() found. With MEMBER, position_ptr[0] is the comma after the value.
    cdef:
        const char* text_ptr = quotes.text_ptr
        Py_ssize_t text_len = quotes.text_len
        Py_ssize_t position = position_ptr[0]
        Py_ssize_t end
        unsigned char byte

    member.value_start = position
    if member.first == c'"':
        take_quote(quotes)
        end = take_quote(quotes)
        if end < 0:
            return NOT_AN_OBJECT
        position = end + 1
    elif member.first | 0x20 == c"{":          # or [, the only other byte with that result
        position = brackets_end(text_ptr, text_len, position, quotes)
        if position < 0:
            return NOT_AN_OBJECT
    else:
        position = scalar_end(text_ptr, text_len, position, peek_quote(quotes))
    member.value_end = position
    if position >= text_len:
        return NOT_AN_OBJECT
    byte = byte_at(text_ptr, text_len, position)
    if byte <= c" ":
        position = skip_spaces(text_ptr, text_len, position)
        if position >= text_len:
            return NOT_AN_OBJECT
        byte = byte_at(text_ptr, text_len, position)
    position_ptr[0] = position
    if byte == c",":
        return MEMBER
    if byte == c"}" and skip_spaces(text_ptr, text_len, position + 1) == text_len:
        return LAST_MEMBER
    return NOT_AN_OBJECT
