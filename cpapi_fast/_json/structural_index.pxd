"""Finds the start and end of the strings in a JSON text: its quotes, 64 bytes at a time.

Only inline functions that stay within the bounds of the text, as in scan.pxd.
"""

from libc.stdint cimport uint64_t

from .scan cimport byte_at, trailing_zeros, word_at

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #if defined(__SSE2__) || defined(_M_X64)
    #include <emmintrin.h>
    #endif
    #ifndef CPAPI_FAST_STRUCTURAL_INDEX
    #define CPAPI_FAST_STRUCTURAL_INDEX
    #ifdef _MSC_VER
    #define CPAPI_FAST_OUT_OF_LINE static __declspec(noinline)
    #else
    #define CPAPI_FAST_OUT_OF_LINE static __attribute__((noinline, unused))
    #endif
    /* Returns a bit for each of 64 bytes that is a quote, and sets *backslashes_ptr to the same for backslashes. The
       debug build uses the portable version, so that both versions are tested. */
    #if (defined(__SSE2__) || defined(_M_X64)) && !defined(CPAPI_FAST_DEBUG)
    static inline uint64_t cpapi_fast_quotes_of_64(const char* from_ptr, uint64_t* backslashes_ptr) {
        const __m128i quote = _mm_set1_epi8(0x22), backslash = _mm_set1_epi8(0x5C);
        uint64_t quotes = 0, backslashes = 0;
        int index;
        for (index = 0; index < 64; index += 16) {
            const __m128i bytes = _mm_loadu_si128((const __m128i*)(from_ptr + index));
            quotes |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << index;
            backslashes |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash)) << index;
        }
        *backslashes_ptr = backslashes;
        return quotes;
    }
    #else
    static inline uint64_t cpapi_fast_equal_bytes(uint64_t word, uint64_t pattern) {
        const uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F), differences = word ^ pattern;
        const uint64_t equal = ~(((differences & low) + low) | differences | low);   /* the top bits of zero bytes */
        return ((equal >> 7) * UINT64_C(0x0102040810204080)) >> 56;                   /* side by side */
    }
    static inline uint64_t cpapi_fast_quotes_of_64(const char* from_ptr, uint64_t* backslashes_ptr) {
        uint64_t quotes = 0, backslashes = 0;
        int index;
        for (index = 0; index < 64; index += 8) {
            const uint64_t word = cpapi_fast_word_at(from_ptr, 64, index);
            quotes |= cpapi_fast_equal_bytes(word, UINT64_C(0x2222222222222222)) << index;
            backslashes |= cpapi_fast_equal_bytes(word, UINT64_C(0x5C5C5C5C5C5C5C5C)) << index;
        }
        *backslashes_ptr = backslashes;
        return quotes;
    }
    #endif
    /* The same for the 64 bytes from `start` on, which must be within the text. Bits past the end are 0. */
    CPAPI_FAST_OUT_OF_LINE uint64_t cpapi_fast_quotes_of_block(
        const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, uint64_t* backslashes_ptr
    ) {
        const Py_ssize_t left = text_len - start;
        uint64_t quotes;
    #ifdef CPAPI_FAST_DEBUG
        if (start < 0 || left <= 0) abort();
    #endif
        if (left >= 64) return cpapi_fast_quotes_of_64(text_ptr + start, backslashes_ptr);
        if (text_len >= 64) {
            /* Use the last 64 bytes of the text, and shift out the bits of bytes before `start`. */
            quotes = cpapi_fast_quotes_of_64(text_ptr + text_len - 64, backslashes_ptr);
            *backslashes_ptr >>= 64 - left;
            return quotes >> (64 - left);
        } else {
            char copy[64] = {0};
            memcpy(copy, text_ptr + start, (size_t)left);
            return cpapi_fast_quotes_of_64(copy, backslashes_ptr);
        }
    }
    #endif
    """
    uint64_t quotes_of_block "cpapi_fast_quotes_of_block"(
        const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, uint64_t* backslashes_ptr
    ) noexcept nogil


# The quotes of a text that are not escaped, in order. They are found 64 bytes at a time, so that a processor can work
# on several strings at once. Scanning from the start of each string to its end took twice the time on a market data
# frame.
cdef struct Quotes:
    const char* text_ptr
    Py_ssize_t text_len
    # The quotes not yet taken: a bit for each of the 64 bytes from block_start on.
    Py_ssize_t block_start
    uint64_t left
    # 1 if the last byte of the block escapes the byte after the block.
    uint64_t carry
    # Whether a loaded block has a backslash.
    bint has_backslash


cdef inline uint64_t escaped_bytes(uint64_t backslashes, uint64_t* carry) noexcept nogil:
    # Returns a bit for each byte of a block that follows a backslash that is not escaped itself.
    cdef uint64_t escaped = carry[0]
    cdef int index
    carry[0] = 0
    while backslashes != 0:
        index = trailing_zeros(backslashes)
        backslashes &= backslashes - 1
        if not (escaped >> index) & 1:
            if index == 63:
                carry[0] = 1
            else:
                escaped |= <uint64_t>2 << index
    return escaped


cdef inline void load_quotes(Quotes* quotes) noexcept nogil:
    # No function that is not inlined gets a pointer to `quotes`, so that a compiler can keep its members in registers.
    cdef:
        uint64_t backslashes = 0
        uint64_t found = quotes_of_block(quotes.text_ptr, quotes.text_len, quotes.block_start, &backslashes)
        uint64_t carry
    if backslashes | quotes.carry:
        carry = quotes.carry
        found &= ~escaped_bytes(backslashes, &carry)
        quotes.carry = carry
        quotes.has_backslash = True
    quotes.left = found


cdef inline Quotes quotes_of(const char* text_ptr, Py_ssize_t text_len) noexcept nogil:
    cdef Quotes quotes = Quotes(text_ptr, text_len, 0, 0, 0, False)
    if text_len > 0:
        load_quotes(&quotes)
    return quotes


cdef inline Py_ssize_t peek_quote(Quotes* quotes) noexcept nogil:
    # Returns the position of the next quote, or -1.
    while quotes.left == 0:
        if quotes.text_len - quotes.block_start <= 64:
            return -1
        quotes.block_start += 64
        load_quotes(quotes)
    return quotes.block_start + trailing_zeros(quotes.left)


cdef inline Py_ssize_t take_quote(Quotes* quotes) noexcept nogil:
    cdef Py_ssize_t position = peek_quote(quotes)
    quotes.left &= quotes.left - 1             # clears the lowest set bit
    return position


cdef inline Py_ssize_t brackets_end(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position, Quotes* quotes
) noexcept nogil:
    # `position` is an opening bracket. Returns the position after the closing one, or -1 if there is none. Brackets are
    # counted and not matched by type, because the result has to be right only for valid JSON.
    cdef:
        Py_ssize_t depth = 0
        Py_ssize_t quote = peek_quote(quotes)
        unsigned char byte

    while position < text_len:
        if position == quote:
            quotes.left &= quotes.left - 1
            position = take_quote(quotes)
            if position < 0:
                return -1
            quote = peek_quote(quotes)
        else:
            byte = byte_at(text_ptr, text_len, position)
            if byte == c"{" or byte == c"[":
                depth += 1
            elif byte == c"}" or byte == c"]":
                depth -= 1
                if depth == 0:
                    return position + 1
        position += 1
    return -1
