"""Converts the numbers that numbers.py documents in C: the same syntax and the same doubles, or UNSURE.

A result is bit-identical to that of `parse_number`. A decimal consists of its digits (a whole number w below 10^19) and
a decimal exponent e. It is converted in one of these ways; the first two round correctly:

* w up to 2^53 and e from -22 to 22: w and 10^|e| are exact doubles, so one multiplication or division rounds once
  (Clinger). This needs arithmetic in double precision, which FLT_EVAL_METHOD reports.
* e from -27 to 27, if the compiler has 128-bit integers: w * 5^e is exact; w / 5^-e has a quotient of more than 64 bits
  and one sticky bit for its remainder. Integer arithmetic then rounds half to even.
* Anything else is UNSURE, and Python converts it: more digits, or larger exponents (so every overflow and subnormal).

Only inline functions: nothing is imported at run time.
"""

from libc.stdint cimport int32_t, uint8_t, uint64_t

from .scan cimport byte_at, join_digits, no_digits, trailing_zeros, word_at

cdef extern from *:
    """
    #include <float.h>
    #include <math.h>
    #include <stdint.h>
    #ifndef CPAPI_FAST_DECIMALS
    #define CPAPI_FAST_DECIMALS
    static const double cpapi_fast_powers_of_ten[23] = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22
    };
    #ifdef __SIZEOF_INT128__
    static const uint64_t cpapi_fast_powers_of_five[28] = {
        1u, 5u, 25u, 125u, 625u, 3125u, 15625u, 78125u, 390625u, 1953125u, 9765625u, 48828125u, 244140625u,
        1220703125u, 6103515625u, 30517578125u, 152587890625u, 762939453125u, 3814697265625u, 19073486328125u,
        95367431640625u, 476837158203125u, 2384185791015625u, 11920928955078125u, 59604644775390625u,
        298023223876953125u, 1490116119384765625u, 7450580596923828125u
    };
    /* digits must not be 0, and exponent must be from -27 to 27. */
    static double cpapi_fast_round_decimal(uint64_t digits, int exponent) {
        unsigned __int128 scaled, rest, half;
        int shift = exponent, sticky = 0, bits, excess;
        uint64_t mantissa;
        if (exponent >= 0) {
            scaled = (unsigned __int128)digits * cpapi_fast_powers_of_five[exponent];
        } else {
            /* With the top bit of digits set, the quotient has more than 64 bits: enough to round to 53 bits. */
            const uint64_t divisor = cpapi_fast_powers_of_five[-exponent];
            const int leading = __builtin_clzll(digits);
            const unsigned __int128 numerator = (unsigned __int128)(digits << leading) << 64;
            scaled = numerator / divisor;
            sticky = scaled * divisor != numerator;
            shift -= 64 + leading;
        }
        bits = (uint64_t)(scaled >> 64) ? 128 - __builtin_clzll((uint64_t)(scaled >> 64))
                                        : 64 - __builtin_clzll((uint64_t)scaled);
        excess = bits - 53;
        if (excess <= 0) return ldexp((double)(uint64_t)scaled, shift);
        mantissa = (uint64_t)(scaled >> excess);
        rest = scaled & (((unsigned __int128)1 << excess) - 1);
        half = (unsigned __int128)1 << (excess - 1);
        /* 2^53 is an exact double, too. */
        if (rest > half || (rest == half && (sticky || (mantissa & 1)))) mantissa++;
        return ldexp((double)mantissa, shift + excess);
    }
    #endif
    /* Sets *value to the double nearest to digits * 10^exponent. Returns 0 if it cannot. */
    static inline int cpapi_fast_to_double(uint64_t digits, int exponent, double* value) {
    #if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
        if (digits <= (uint64_t)1 << 53) {
            if (exponent >= 0 && exponent <= 22) {
                *value = (double)(int64_t)digits * cpapi_fast_powers_of_ten[exponent];
                return 1;
            }
            if (exponent < 0 && exponent >= -22) {
                *value = (double)(int64_t)digits / cpapi_fast_powers_of_ten[-exponent];
                return 1;
            }
        }
    #endif
        if (digits == 0) {
            *value = 0.0;
            return 1;
        }
    #ifdef __SIZEOF_INT128__
        if (exponent >= -27 && exponent <= 27) {
            *value = cpapi_fast_round_decimal(digits, exponent);
            return 1;
        }
    #endif
        return 0;
    }
    /* The same for digits below 2^53 and 0 to 22 decimal places. */
    static inline int cpapi_fast_places_to_double(uint64_t digits, int places, double* value) {
    #if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
        *value = (double)(int64_t)digits / cpapi_fast_powers_of_ten[places];
        return 1;
    #else
        return cpapi_fast_to_double(digits, -places, value);
    #endif
    }
    #endif
    """
    bint places_to_double "cpapi_fast_places_to_double"(uint64_t digits, int places, double* value) noexcept nogil
    bint to_double "cpapi_fast_to_double"(uint64_t digits, int exponent, double* value) noexcept nogil


# The result of read_number_text.
cdef enum:
    NO_NUMBER = 0
    NUMBER = 1
    UNSURE = 2


cdef enum:
    # Any number with this many digits fits in a uint64.
    MOST_DIGITS = 19
    # Larger exponents are not computed exactly, because `to_double` rejects all of them.
    MOST_EXPONENT = 100_000


cdef inline uint64_t values_before(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t end, Py_ssize_t length
) noexcept nogil:
    # Returns the `length` (1 to 8) bytes before `end`, which must be at least 8, as the highest bytes of a word. Digits
    # become their values, and the lower bytes are 0.
    return (word_at(text_ptr, text_len, end - 8) ^ 0x3030303030303030u) & (~<uint64_t>0 << (64 - 8 * length))


cdef inline bint read_short_text(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t end, double* value
) noexcept nogil:
    # Converts the most frequent strings, up to 8 digits with or without a point, in one step. False: use
    # `read_number_text`.
    cdef:
        Py_ssize_t length = end - start
        uint64_t values, others, before
        int point

    if length < 1 or length > 8 or end < 8:
        return False
    values = values_before(text_ptr, text_len, end, length)
    others = no_digits(values)
    if others == 0:
        return places_to_double(join_digits(values), 0, value)
    point = trailing_zeros(others) - 7
    # Return False unless exactly one byte is not a digit, that byte is a point, and there is a digit.
    if others & (others - 1) or (values >> point) & 0xFF != (c"." ^ c"0") or length == 1:
        return False
    before = (<uint64_t>1 << point) - 1
    values = (values & before) << 8 | (values & ~(before << 8 | 0xFF))
    return places_to_double(join_digits(values), (56 - point) >> 3, value)


cdef inline bint read_short_integer(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t start, Py_ssize_t end, double* value
) noexcept nogil:
    # Converts the most frequent JSON numbers, up to 15 digits and nothing else, in one step. False: use
    # `read_json_number`.
    cdef:
        Py_ssize_t length = end - start
        Py_ssize_t more = 0
        uint64_t values, digits

    if length > 8:
        more = length - 8
        length = 8
    if length < 1 or more > 7 or end < 16 or (length > 1 and byte_at(text_ptr, text_len, start) == c"0"):
        return False
    values = values_before(text_ptr, text_len, end, length)
    if no_digits(values) != 0:
        return False
    digits = join_digits(values)
    if more > 0:
        values = values_before(text_ptr, text_len, end - 8, more)
        if no_digits(values) != 0:
            return False
        digits += join_digits(values) * 100_000_000
    return places_to_double(digits, 0, value)


cdef inline Py_ssize_t read_digits(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position, uint64_t* digits
) noexcept nogil:
    # Appends the digits from `position` on to `digits`, and returns the position after them. More than MOST_DIGITS wrap
    # around.
    cdef:
        unsigned int digit
        uint64_t number = digits[0]

    while position < text_len:
        digit = <unsigned int>byte_at(text_ptr, text_len, position) - c"0"
        if digit > 9:
            break
        number = number * 10 + digit
        position += 1
    digits[0] = number
    return position


cdef inline Py_ssize_t read_exponent(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position, int* exponent
) noexcept nogil:
    # `position` is the byte after an `e`. Adds the number there to `exponent`. Returns the position after its digits,
    # or -1 if there are none.
    cdef:
        bint is_negative = False
        int power = 0
        Py_ssize_t start
        unsigned int digit
        unsigned char byte

    if position < text_len:
        byte = byte_at(text_ptr, text_len, position)
        if byte == c"+" or byte == c"-":
            is_negative = byte == c"-"
            position += 1
    start = position
    while position < text_len:
        digit = <unsigned int>byte_at(text_ptr, text_len, position) - c"0"
        if digit > 9:
            break
        if power < MOST_EXPONENT:
            power = power * 10 + <int>digit
        position += 1
    exponent[0] += -power if is_negative else power
    return position if position > start else -1


cdef inline int read_number_text(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position, double* value, uint8_t* prefix
) noexcept nogil:
    # `position` is the first byte inside a string. NUMBER: the string is a number without an escape, and `prefix` is
    # set to 67 (C), 72 (H) or 0. NO_NUMBER: the string has an escape or is not a number. UNSURE: use Python.
    cdef:
        Py_ssize_t at = position
        Py_ssize_t start, count
        uint64_t digits = 0
        int exponent = 0
        bint is_negative = False
        unsigned char byte
        uint8_t letter = 0

    if at >= text_len:
        return NO_NUMBER
    byte = byte_at(text_ptr, text_len, at)
    if byte < c"0" or byte > c"9":
        if byte == c"C" or byte == c"H":
            letter = byte
            at += 1
            if at >= text_len:
                return NO_NUMBER
            byte = byte_at(text_ptr, text_len, at)
        if byte == c"+" or byte == c"-":
            is_negative = byte == c"-"
            at += 1
    start = at
    at = read_digits(text_ptr, text_len, at, &digits)
    count = at - start
    if at >= text_len:
        return NO_NUMBER
    byte = byte_at(text_ptr, text_len, at)
    if byte == c",":
        if count == 0 or count > 3:
            return NO_NUMBER
        while byte == c",":
            start = at + 1
            at = read_digits(text_ptr, text_len, start, &digits)
            if at - start != 3 or at >= text_len:
                return NO_NUMBER
            count += 3
            byte = byte_at(text_ptr, text_len, at)
    if byte == c".":
        start = at + 1
        at = read_digits(text_ptr, text_len, start, &digits)
        if at >= text_len:
            return NO_NUMBER
        exponent = <int32_t>(start - at)
        count += at - start
        byte = byte_at(text_ptr, text_len, at)
    if count == 0:
        return NO_NUMBER
    if byte != c'"':
        if byte == c"e" or byte == c"E":
            at = read_exponent(text_ptr, text_len, at + 1, &exponent)
            if at < 0:
                return NO_NUMBER
        elif byte == c"K":
            exponent += 3
            at += 1
        elif byte == c"M":
            exponent += 6
            at += 1
        elif byte == c"B":
            exponent += 9
            at += 1
        if at < text_len and byte_at(text_ptr, text_len, at) == c"%":
            at += 1
        if at >= text_len or byte_at(text_ptr, text_len, at) != c'"':
            return NO_NUMBER
    if count > MOST_DIGITS or not to_double(digits, exponent, value):
        return UNSURE
    if is_negative:
        value[0] = -value[0]
    prefix[0] = letter
    return NUMBER


cdef inline Py_ssize_t read_json_number(
    const char* text_ptr, Py_ssize_t text_len, Py_ssize_t position, double* value
) noexcept nogil:
    # `position` is the start of a value. Returns the position after it if it is a JSON number; -1 if it is not one, or
    # needs a decoder.
    cdef:
        Py_ssize_t at = position
        Py_ssize_t start, count
        uint64_t digits = 0
        int exponent = 0
        bint is_negative = byte_at(text_ptr, text_len, at) == c"-"
        unsigned char byte

    if is_negative:
        at += 1
    start = at
    at = read_digits(text_ptr, text_len, at, &digits)
    count = at - start
    if count == 0 or (count > 1 and byte_at(text_ptr, text_len, start) == c"0"):
        return -1
    if at < text_len and byte_at(text_ptr, text_len, at) == c".":
        start = at + 1
        at = read_digits(text_ptr, text_len, start, &digits)
        if at == start:
            return -1
        exponent = <int32_t>(start - at)
        count += at - start
    if at < text_len:
        byte = byte_at(text_ptr, text_len, at)
        if byte == c"e" or byte == c"E":
            at = read_exponent(text_ptr, text_len, at + 1, &exponent)
            if at < 0:
                return -1
    # A decoder returns the integer 0 for -0, and negative zero for -0.0. Leave both to the decoder.
    if count > MOST_DIGITS or (is_negative and digits == 0) or not to_double(digits, exponent, value):
        return -1
    if is_negative:
        value[0] = -value[0]
    return at
