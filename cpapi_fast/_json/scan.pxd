"""Reads text in C within its bounds: one byte, eight bytes, digits, white space, and the plain part of a string.

Only inline functions, which are compiled into each module that cimports them; nothing is imported at run time. Every
function gets the whole text and its length, and reads nothing outside of the text.
"""

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #ifdef _MSC_VER
    #include <intrin.h>
    #endif
    #ifndef CPAPI_FAST_SCAN
    #define CPAPI_FAST_SCAN
    /* One byte of a text of known length. The caller checks the bound; the debug build asserts it. */
    #ifdef CPAPI_FAST_DEBUG
    #define CPAPI_FAST_BYTE_AT(text_ptr, text_len, index) \
        (((index) >= 0 && (index) < (text_len)) ? (unsigned char)(text_ptr)[(index)] : (abort(), (unsigned char)0))
    #else
    #define CPAPI_FAST_BYTE_AT(text_ptr, text_len, index) ((void)(text_len), (unsigned char)(text_ptr)[(index)])
    #endif
    /* Eight bytes of a text of known length, the first one in the lowest bits. The caller checks the bounds. */
    static inline uint64_t cpapi_fast_word_at(const char* text_ptr, Py_ssize_t text_len, Py_ssize_t index) {
        const unsigned char* from_ptr = (const unsigned char*)text_ptr + index;
    #ifdef CPAPI_FAST_DEBUG
        if (index < 0 || text_len < 8 || index > text_len - 8) abort();
    #endif
        (void)text_len;
    #if defined(_MSC_VER) || (defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        uint64_t word;
        memcpy(&word, from_ptr, 8);
        return word;
    #else
        return (uint64_t)from_ptr[0] | (uint64_t)from_ptr[1] << 8 | (uint64_t)from_ptr[2] << 16
            | (uint64_t)from_ptr[3] << 24 | (uint64_t)from_ptr[4] << 32 | (uint64_t)from_ptr[5] << 40
            | (uint64_t)from_ptr[6] << 48 | (uint64_t)from_ptr[7] << 56;
    #endif
    }
    /* The number of zero bits below the lowest set bit; the argument must not be zero. */
    static inline int cpapi_fast_trailing_zeros(uint64_t word) {
    #ifdef _MSC_VER
        unsigned long index;
        _BitScanForward64(&index, word);
        return (int)index;
    #else
        return __builtin_ctzll(word);
    #endif
    }
    /* The number of zero bits above the highest set bit; the argument must not be zero. */
    static inline int cpapi_fast_leading_zeros(uint64_t word) {
    #ifdef _MSC_VER
        unsigned long index;
        _BitScanReverse64(&index, word);
        return 63 - (int)index;
    #else
        return __builtin_clzll(word);
    #endif
    }
    #endif
    """
    unsigned char byte_at "CPAPI_FAST_BYTE_AT"(
        const char* text_ptr, Py_ssize_t text_len, Py_ssize_t index
    ) noexcept nogil
    uint64_t word_at "cpapi_fast_word_at"(const char* text_ptr, Py_ssize_t text_len, Py_ssize_t index) noexcept nogil
    int trailing_zeros "cpapi_fast_trailing_zeros"(uint64_t word) noexcept nogil
    int leading_zeros "cpapi_fast_leading_zeros"(uint64_t word) noexcept nogil


cdef inline uint64_t bytes_equal(uint64_t word, uint64_t pattern) noexcept nogil:
    # Sets the top bit of each byte of `word` that equals that byte of `pattern`, which is one byte repeated eight
    # times. Only the lowest set bit is exact: above an equal byte, the subtraction may borrow and mark a different
    # byte.
    cdef uint64_t differences = word ^ pattern
    return (differences - 0x0101010101010101u) & ~differences & 0x8080808080808080u


cdef inline uint64_t no_digits(uint64_t values) noexcept nogil:
    # Sets the top bit of each byte above 9.
    return (((values & 0x7F7F7F7F7F7F7F7Fu) + 0x7676767676767676u) | values) & 0x8080808080808080u


cdef inline uint64_t join_digits(uint64_t values) noexcept nogil:
    # The decimal number whose digits are the eight bytes (0 to 9), the lowest byte first. Three steps join neighbours:
    # eight digits become four pairs, then two groups of four, then one number.
    values = values * 10 + (values >> 8)
    return (
        (values & 0x000000FF000000FFu) * 0x000F424000000064u
        + ((values >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u
    ) >> 32


cdef inline int digits_at_end(uint64_t word, uint64_t* number) noexcept nogil:
    # Counts the digits in the highest bytes of `word`, which are the last bytes of its text; `number` is their number.
    cdef:
        uint64_t values = word ^ 0x3030303030303030u       # a digit's byte is now its value
        uint64_t others = no_digits(values)
        int count = 8

    if others != 0:
        count = leading_zeros(others) >> 3
        if count == 0:
            number[0] = 0
            return 0
        values &= ~<uint64_t>0 << (64 - 8 * count)
    number[0] = join_digits(values)
    return count


cdef inline Py_ssize_t skip_spaces(const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position) noexcept nogil:
    # Returns the first position from `position` on that is not white space in JSON, or the end.
    cdef unsigned char byte
    while position < text_len:
        byte = byte_at(text_ptr, text_len, position)
        if byte != c" " and byte != c"\t" and byte != c"\n" and byte != c"\r":
            break
        position += 1
    return position


cdef inline Py_ssize_t plain_end(const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position) noexcept nogil:
    # Returns the first quote, backslash or control byte from `position` on, or the end. The bytes before it have no
    # escapes, so they are the text of the string.
    cdef:
        uint64_t word
        uint64_t found
        unsigned char byte

    while position <= text_len - 8:
        word = word_at(text_ptr, text_len, position)
        found = (
            bytes_equal(word, 0x2222222222222222u)
            | bytes_equal(word, 0x5C5C5C5C5C5C5C5Cu)
            # Bytes below 0x20. Only the lowest set bit is exact.
            | ((word - 0x2020202020202020u) & ~word & 0x8080808080808080u)
        )
        if found != 0:
            return position + (trailing_zeros(found) >> 3)
        position += 8
    while position < text_len:
        byte = byte_at(text_ptr, text_len, position)
        if byte == c'"' or byte == c"\\" or byte < 0x20:
            break
        position += 1
    return position
