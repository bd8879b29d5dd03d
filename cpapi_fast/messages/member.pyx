"""Members and messages: descriptors that convert one member of decoded JSON on access, and the objects with them."""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t

from datetime import datetime, timedelta, timezone

import orjson

# The result of a conversion: the value has another type than the member.
cdef object WRONG = object()

cdef object EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

cdef tuple _NO_ARGUMENTS = ()

# What an object has that was created without its constructor.
cdef dict _EMPTY = {}


cdef str shared_key(str key):
    # Returns the object that orjson's cache has for a key. A dict then finds its value by identity, without comparing
    # texts, which matters because it compares those of orjson on a slow path.
    return next(iter(orjson.loads(orjson.dumps({key: None}))))


# The members of each class, by the name of the attribute.
cdef dict _members_of_class = {}


cdef class Member:
    """One typed member of a JSON object, as a descriptor.

    Reading the attribute converts the value: None if the member is missing, null, without a value (`N/A`, `-`, an empty
    text) or of another type. Only the last is listed in `problems`. Nothing is cached, except for rows.

    Args:
        key: the key in the JSON object.
        meaning: what the value means, in one line.
        is_top: whether the member is at the top level of a message whose other members are in its `args`.
    """

    def __cinit__(self, str key not None, *args, **kwargs):
        self.key = shared_key(key)
        self.meaning = ""

    def __init__(self, key, meaning="", *, is_top=False):
        self.meaning = meaning
        self.is_top = is_top

    def __get__(self, instance, owner):
        if instance is None:
            return self
        return self.read_from(instance)

    def __set__(self, instance, value):
        raise AttributeError("the members of a message are read-only")

    cdef object read_from(self, object instance):
        cdef PyObject* found
        cdef object value
        if not isinstance(instance, JsonObject):
            raise TypeError("a member belongs to a subclass of JsonObject")
        found = find(self, <JsonObject>instance)
        if found == NULL:
            return None
        value = <object>found
        if value is None:
            return None
        value = self.converted(value)
        return None if value is WRONG else value

    cdef object converted(self, object value):
        # Converts a value that is not None. Returns None if it stands for no value, or WRONG.
        return value

    cdef int check(self, JsonObject instance, str prefix, list problems) except -1:
        cdef PyObject* found = find(self, instance)
        cdef object value
        if found == NULL:
            return 0
        value = <object>found
        if value is not None and self.converted(value) is WRONG:
            problems.append(prefix + self.key)
        return 0

    def __repr__(self):
        return f"{type(self).__name__}({self.key!r})"


cdef class TextMember(Member):
    """A text."""

    cdef object converted(self, object value):
        return value if type(value) is str else WRONG


cdef JsonObject new_object(type cls, dict raw, str body_key):
    cdef JsonObject made = <JsonObject>(<PyTypeObject*>cls).tp_new(cls, <PyObject*>_NO_ARGUMENTS, NULL)
    made.fill(raw, body_key)
    return made


# The garbage collector does not track objects on decoded JSON, because that saves time. A reference cycle is possible
# only if a user puts such an object into its own JSON.
@cython.no_gc
@cython.freelist(16)
cdef class JsonObject:
    """A decoded JSON object with typed members.

    Args:
        raw: the decoded object. It is not copied, so do not change it.

    Attributes:
        raw: the decoded object.
    """

    #: The key of the object that has the members; None if they are at the top level.
    body_key = None

    def __cinit__(self):
        self.raw = self._body = _EMPTY

    def __init__(self, dict raw not None):
        self.fill(raw, type(self).body_key)

    cdef int fill(self, dict raw, str body_key) except -1:
        cdef object body
        self.raw = self._body = raw
        if body_key is not None:
            body = raw.get(body_key)
            self._body = body if type(body) is dict else {}
        return 0

    @classmethod
    def members(cls):
        """Return the members of this class, by the name of the attribute."""
        found = _members_of_class.get(cls)
        if found is None:
            found = {
                name: value
                for base in reversed(cls.__mro__)
                for name, value in vars(base).items()
                if isinstance(value, Member)
            }
            _members_of_class[cls] = found
        return found

    @property
    def problems(self):
        """The paths of the members with a value of another type, such as `args[0].price`. Their attributes are None.

        The names are those of this class, never texts of the gateway. Reading it converts every member.
        """
        cdef list problems = []
        self.add_problems("", problems)
        return tuple(dict.fromkeys(problems))

    cdef int add_problems(self, str prefix, list problems) except -1:
        cdef Member member
        cdef str body_key = type(self).body_key
        cdef str inner = prefix
        if body_key is not None:
            inner = f"{prefix}{body_key}."
            body = self.raw.get(body_key)
            if body is not None and type(body) is not dict:
                problems.append(prefix + body_key)
        for member in type(self).members().values():
            member.check(self, prefix if member.is_top else inner, problems)
        return 0

    @property
    def extras(self):
        """The members that this class does not have, as decoded; of an object with members, only the unknown ones.

        Unknown members of rows are in the `extras` of each row.
        """
        cdef Member member
        cdef str body_key = type(self).body_key
        members = type(self).members().values()
        if body_key is None:
            known = {member.key for member in members}
            return {key: value for key, value in self.raw.items() if key not in known}
        known = {member.key for member in members if member.is_top}
        found = {key: value for key, value in self.raw.items() if key not in known and key != body_key}
        known = {member.key for member in members if not member.is_top}
        inner = {key: value for key, value in self._body.items() if key not in known}
        if inner:
            found[body_key] = inner
        return found

    def __repr__(self):
        # Without values, because they may contain an account.
        return f"<{type(self).__name__} {len(self._body)} members>"

    def __reduce__(self):
        return (type(self), (self.raw,))


@cython.no_gc
cdef class Message(JsonObject):
    """One message of the gateway, with typed members; the base of all messages.

    Attributes convert on access, and keep nothing. Messages come from `Frame.message`.

    Args:
        raw: the decoded message. It is not copied, so do not change it.
        received_ns: the time at which the socket read returned, in ns since the Unix epoch; 0 if there was no socket.

    Attributes:
        raw: the decoded message.
    """

    topic = TextMember("topic", "the topic", is_top=True)

    def __init__(self, dict raw not None, int64_t received_ns=0):
        JsonObject.__init__(self, raw)
        self._received_ns = received_ns

    @property
    def received_ns(self):
        """The time at which the socket read returned, in ns since the Unix epoch; 0 without a socket."""
        return self._received_ns

    @property
    def received(self):
        """The receive time as a datetime in UTC, rounded down to microseconds; None for a `received_ns` of 0."""
        if self._received_ns == 0:
            return None
        return EPOCH + timedelta(microseconds=self._received_ns // 1000)

    @property
    def channel(self):
        """The topic up to its first `+`; None for a message without a topic."""
        cdef object topic = self.raw.get("topic")
        return topic.partition("+")[0] if type(topic) is str else None

    @property
    def target(self):
        """The topic after its first `+`; empty without one."""
        cdef object topic = self.raw.get("topic")
        return topic.partition("+")[2] if type(topic) is str else ""

    def __reduce__(self):
        return (type(self), (self.raw, self._received_ns))
