"""The C interface of messages: how decoded JSON becomes an object with typed members."""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t


cdef class Member:
    cdef:
        readonly str key
        readonly str meaning
        readonly bint is_top        # read from the whole message, although its class has a `body_key`

    cdef object converted(self, object value)
    cdef object read_from(self, object instance)
    cdef int check(self, JsonObject instance, str prefix, list problems) except -1


cdef class JsonObject:
    cdef:
        readonly dict raw
        dict _body                  # where members are looked up: `raw`, or the object under the `body_key`
        dict _rows                  # key -> tuple of rows, for those that were read
        int64_t _received_ns        # of a message. It is here so that all classes have the same size and free list

    cdef int fill(self, dict raw, str body_key) except -1
    cdef int add_problems(self, str prefix, list problems) except -1


cdef class Message(JsonObject):
    pass


# The result of a conversion: the value has another type than the member.
cdef object WRONG

cdef object EPOCH

# Returns an equal text that is found faster in a dict that orjson decoded.
cdef str shared_key(str key)

# Creates an object of a subclass of JsonObject without calling its constructor.
cdef JsonObject new_object(type cls, dict raw, str body_key)


cdef inline PyObject* find(Member member, JsonObject instance) except? NULL:
    # Returns a borrowed reference to the value of a member; NULL without an exception if there is none.
    return PyDict_GetItemWithError(instance.raw if member.is_top else instance._body, member.key)
