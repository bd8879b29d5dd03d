from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Never, Self, TypeVar, overload

from typing_extensions import disjoint_base

_T_co = TypeVar("_T_co", covariant=True)

@disjoint_base
class Member(Generic[_T_co]):
    """One typed member of a JSON object, as a descriptor.

    Reading the attribute converts the value: None if the member is missing, null, without a value (`N/A`, `-`, an empty
    text) or of another type. Only the last is listed in `problems`. Nothing is cached, except for rows.

    Args:
        key: the key in the JSON object.
        meaning: what the value means, in one line.
        is_top: whether the member is at the top level of a message whose other members are in its `args`.
    """

    key: Final[str]
    meaning: Final[str]
    is_top: Final[bool]
    def __init__(self, key: str, meaning: str = "", *, is_top: bool = False) -> None: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
    @overload
    def __get__(self, instance: JsonObject, owner: type | None = None, /) -> _T_co: ...
    def __set__(self, instance: Any, value: Never, /) -> None: ...

class TextMember(Member[str | None]):
    """A text."""

@disjoint_base
class JsonObject:
    """A decoded JSON object with typed members.

    Args:
        raw: the decoded object. It is not copied, so do not change it.

    Attributes:
        raw: the decoded object.
    """

    body_key: ClassVar[str | None]
    raw: Final[dict[str, Any]]
    def __init__(self, raw: dict[str, Any]) -> None: ...
    @classmethod
    def members(cls) -> dict[str, Member[Any]]:
        """Return the members of this class, by the name of the attribute."""
    @property
    def problems(self) -> tuple[str, ...]:
        """The paths of the members with a value of another type, such as `args[0].price`. Their attributes are None.

        The names are those of this class, never texts of the gateway. Reading it converts every member.
        """
    @property
    def extras(self) -> dict[str, Any]:
        """The members that this class does not have, as decoded; of an object with members, only the unknown ones.

        Unknown members of rows are in the `extras` of each row.
        """

class Message(JsonObject):
    """One message of the gateway, with typed members; the base of all messages.

    Attributes convert on access, and keep nothing. Messages come from `Frame.message`.

    Args:
        raw: the decoded message. It is not copied, so do not change it.
        received_ns: the time at which the socket read returned, in ns since the Unix epoch; 0 if there was no socket.

    Attributes:
        raw: the decoded message.
    """

    topic: TextMember
    def __init__(self, raw: dict[str, Any], received_ns: int = 0) -> None: ...
    @property
    def received_ns(self) -> int:
        """The time at which the socket read returned, in ns since the Unix epoch; 0 without a socket."""
    @property
    def received(self) -> datetime | None:
        """The receive time as a datetime in UTC, rounded down to microseconds; None for a `received_ns` of 0."""
    @property
    def channel(self) -> str | None:
        """The topic up to its first `+`; None for a message without a topic."""
    @property
    def target(self) -> str:
        """The topic after its first `+`; empty without one."""
