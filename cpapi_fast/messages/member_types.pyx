"""The types of members: numbers, integers, texts, ids, flags, times, and rows of an array or object."""

cimport cython
from cpython.object cimport PyObject
from libc.math cimport floor, isfinite
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from cpapi_fast._json.decimals cimport NUMBER, read_number_text, read_short_text

from .member cimport EPOCH, WRONG, JsonObject, Member, find, new_object

import re
from datetime import timedelta

from cpapi_fast.protocol.numbers import parse_number

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

# What the gateway sends where it has no value. It is no problem.
cdef frozenset _NO_VALUES = frozenset(("", "-", "N/A"))

cdef dict _FLAGS = {"1": True, "0": False, "true": True, "false": False}

cdef object _INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
cdef enum:
    # Longer texts are numbers only in theory. Python converts them.
    MOST_TEXT = 40
    BUFFER_SIZE = MOST_TEXT + 1
    # A text of up to eight digits is read with the eight bytes before its end, which may begin before the text.
    HEADER = 8

# Every integer up to here is a double.
cdef double MOST_EXACT = 9007199254740992.0


cdef object _number(object value):
    # The same as parse_number; None if there is no value, or WRONG.
    cdef:
        char buffer[BUFFER_SIZE]
        const char* text_ptr
        Py_ssize_t length
        double number
        uint8_t prefix
        object parsed

    if type(value) is str:
        length = PyUnicode_GET_LENGTH(value)
        if 0 < length <= MOST_TEXT and PyUnicode_IS_COMPACT_ASCII(value):
            text_ptr = <const char*>PyUnicode_1BYTE_DATA(value)
            # The bytes before the text are the header of the same object.
            if read_short_text(text_ptr - HEADER, HEADER + length, HEADER, HEADER + length, &number):
                return number
            # A quote ends the number, so there must be none inside of the text.
            if memchr(text_ptr, c'"', length) == NULL:
                memcpy(buffer, text_ptr, length)
                buffer[length] = c'"'
                if read_number_text(buffer, length + 1, 0, &number, &prefix) == NUMBER:
                    return number
    elif type(value) is float and isfinite(<double>value):
        return value
    parsed = parse_number(value)
    if parsed is None:
        return None if type(value) is str and value in _NO_VALUES else WRONG
    return parsed


cdef object _integer(object value):
    cdef double number
    if type(value) is int:
        return value
    if type(value) is float:
        number = value
        return int(value) if -MOST_EXACT < number < MOST_EXACT and floor(number) == number else WRONG
    if type(value) is str:
        if value in _NO_VALUES:
            return None
        if _INTEGER.fullmatch(value) is not None:
            return int(value)
    return WRONG


cdef object _time(object value, bint is_seconds):
    cdef object count = _integer(value)
    if count is None or count is WRONG:
        return count
    try:
        return EPOCH + (timedelta(seconds=count) if is_seconds else timedelta(milliseconds=count))
    except OverflowError:
        return WRONG


@cython.no_gc
cdef class NamedRow(JsonObject):
    """A row that is a member of an object.

    Args:
        raw: the decoded object.
        name: its key.

    Attributes:
        name: the key of the row in the object that it is a member of.
    """

    cdef readonly str name

    def __cinit__(self):
        self.name = ""

    def __init__(self, dict raw not None, str name not None=""):
        JsonObject.__init__(self, raw)
        self.name = name

    def __reduce__(self):
        return (type(self), (self.raw, self.name))


cdef class NumberMember(Member):
    """A number as float: a JSON number, or a text in the gateway's format, converted as `parse_number` does."""

    def __get__(self, instance, owner):
        cdef PyObject* found
        cdef object value
        if isinstance(instance, JsonObject):
            found = find(self, <JsonObject>instance)
            if found == NULL or <object>found is None:
                return None
            value = _number(<object>found)
            return None if value is WRONG else value
        return self if instance is None else self.read_from(instance)

    cdef object converted(self, object value):
        return _number(value)


cdef class IntegerMember(Member):
    """An integer: a JSON number without a fraction, or a text of up to 19 digits."""

    cdef object converted(self, object value):
        return _integer(value)


cdef class IdMember(Member):
    """An id as text: a text, or an integer of up to 64 bits, because the gateway uses both."""

    cdef object converted(self, object value):
        if type(value) is str:
            return value
        if type(value) is int and -(1 << 63) <= value < (1 << 64):
            return str(value)
        return WRONG


cdef class FlagMember(Member):
    """A flag: true or false, 1 or 0, also as text."""

    cdef object converted(self, object value):
        if type(value) is bool:
            return value
        if type(value) is str:
            return None if value in _NO_VALUES else _FLAGS.get(value, WRONG)
        if (type(value) is int or type(value) is float) and (value == 1 or value == 0):
            return value == 1
        return WRONG


cdef class MillisecondsMember(Member):
    """A time in milliseconds since the Unix epoch, as a datetime in UTC."""

    cdef object converted(self, object value):
        return _time(value, False)


cdef class SecondsMember(Member):
    """A time in seconds since the Unix epoch, as a datetime in UTC."""

    cdef object converted(self, object value):
        return _time(value, True)


cdef class ListMember(Member):
    """An array, as decoded."""

    cdef object converted(self, object value):
        return value if type(value) is list else WRONG


cdef class ObjectMember(Member):
    """An object, as decoded."""

    cdef object converted(self, object value):
        return value if type(value) is dict else WRONG


cdef class FunctionMember(Member):
    """A value that a function converts.

    Args:
        key: the key in the JSON object.
        function: gets the decoded value, which is not None. It returns None if that stands for no value, and raises
            ValueError if it has another type.
        meaning: what the value means, in one line.
    """

    cdef readonly object function

    def __init__(self, key, function, meaning="", *, is_top=False):
        Member.__init__(self, key, meaning, is_top=is_top)
        self.function = function

    cdef object converted(self, object value):
        try:
            return self.function(value)
        except ValueError:
            return WRONG


cdef class RowsMember(Member):
    """The objects of an array, as a tuple of rows; empty if the member is missing or has another type.

    Entries that are not objects are left out, and listed in `problems`. The rows are created on the first access.

    Args:
        key: the key in the JSON object.
        row_class: the class of the rows.
        meaning: what the rows are, in one line.
        may_be_object: whether one object may take the place of the array.
        by_name: whether the rows are the values of an object, whose keys are their names.
    """

    cdef readonly object row_class
    cdef bint _may_be_object
    cdef bint _by_name

    def __init__(self, key, row_class, meaning="", *, may_be_object=False, by_name=False):
        Member.__init__(self, key, meaning)
        self.row_class = row_class
        self._may_be_object = may_be_object
        self._by_name = by_name

    def __get__(self, instance, owner):
        cdef JsonObject holder
        if instance is None:
            return self
        holder = <JsonObject?>instance
        if holder._rows is None:
            holder._rows = {}
        rows = holder._rows.get(self.key)
        if rows is None:
            rows = holder._rows[self.key] = tuple([row for row in self._rows_of(holder) if row is not None])
        return rows

    cdef list _rows_of(self, JsonObject holder):
        # The rows with None in place of the entries that are not objects.
        cdef PyObject* found = find(self, holder)
        cdef object value
        cdef JsonObject row
        cdef list rows = []
        if found == NULL:
            return rows
        value = <object>found
        if type(value) is dict:
            if self._by_name:
                for name, entry in (<dict>value).items():
                    row = None
                    if type(entry) is dict:
                        row = new_object(self.row_class, entry, None)
                        (<NamedRow?>row).name = name
                    rows.append(row)
            elif self._may_be_object:
                rows.append(new_object(self.row_class, value, None))
        elif type(value) is list and not self._by_name:
            for entry in <list>value:
                rows.append(new_object(self.row_class, entry, None) if type(entry) is dict else None)
        return rows

    cdef int check(self, JsonObject instance, str prefix, list problems) except -1:
        cdef PyObject* found = find(self, instance)
        cdef JsonObject row
        cdef Py_ssize_t index
        cdef str path = prefix + self.key
        if found == NULL or <object>found is None:
            return 0
        if type(<object>found) is dict:
            is_wrong = not self._by_name and not self._may_be_object
        else:
            is_wrong = self._by_name or type(<object>found) is not list
        if is_wrong:
            problems.append(path)
            return 0
        for index, row in enumerate(self._rows_of(instance)):
            if row is None:
                problems.append(f"{path}[{index}]")
            else:
                row.add_problems(f"{path}[{index}].", problems)
        return 0
