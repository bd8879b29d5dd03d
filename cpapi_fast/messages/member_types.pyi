from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from typing_extensions import disjoint_base

from .member import JsonObject, Member

_R = TypeVar("_R", bound=JsonObject)
_T = TypeVar("_T")

@disjoint_base
class NamedRow(JsonObject):
    """A row that is a member of an object.

    Args:
        raw: the decoded object.
        name: its key.

    Attributes:
        name: the key of the row in the object that it is a member of.
    """

    name: Final[str]
    def __init__(self, raw: dict[str, Any], name: str = "") -> None: ...

class NumberMember(Member[float | None]):
    """A number as float: a JSON number, or a text in the gateway's format, converted as `parse_number` does."""

class IntegerMember(Member[int | None]):
    """An integer: a JSON number without a fraction, or a text of up to 19 digits."""

class IdMember(Member[str | None]):
    """An id as text: a text, or an integer of up to 64 bits, because the gateway uses both."""

class FlagMember(Member[bool | None]):
    """A flag: true or false, 1 or 0, also as text."""

class MillisecondsMember(Member[datetime | None]):
    """A time in milliseconds since the Unix epoch, as a datetime in UTC."""

class SecondsMember(Member[datetime | None]):
    """A time in seconds since the Unix epoch, as a datetime in UTC."""

class ListMember(Member[list[Any] | None]):
    """An array, as decoded."""

class ObjectMember(Member[dict[str, Any] | None]):
    """An object, as decoded."""

@disjoint_base
class FunctionMember(Member[_T | None]):
    """A value that a function converts.

    Args:
        key: the key in the JSON object.
        function: gets the decoded value, which is not None. It returns None if that stands for no value, and raises
            ValueError if it has another type.
        meaning: what the value means, in one line.
    """

    function: Callable[[Any], _T | None]
    def __init__(
        self, key: str, function: Callable[[Any], _T | None], meaning: str = "", *, is_top: bool = False
    ) -> None: ...

@disjoint_base
class RowsMember(Member[tuple[_R, ...]]):
    """The objects of an array, as a tuple of rows; empty if the member is missing or has another type.

    Entries that are not objects are left out, and listed in `problems`. The rows are created on the first access.

    Args:
        key: the key in the JSON object.
        row_class: the class of the rows.
        meaning: what the rows are, in one line.
        may_be_object: whether one object may take the place of the array.
        by_name: whether the rows are the values of an object, whose keys are their names.
    """

    row_class: type[_R]
    def __init__(
        self, key: str, row_class: type[_R], meaning: str = "", *, may_be_object: bool = False, by_name: bool = False
    ) -> None: ...
