"""Reads members of decoded JSON: tolerates members that are missing or have another type, and notes the latter"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Iterator
from typing import Any, Final

from cpapi_fast.meaning import Meaning
from cpapi_fast.redaction import preview

from .instruments import MAX_CONID
from .shape import ErrorBodyError, ShapeError
from .words import error_text, meaning_of_words, words_of

_FLAGS: Final = {"true": True, "false": False, "1": True, "0": False}
#: The greatest finite float. NaN is not below it either.
_GREATEST: Final = sys.float_info.max
#: How much of the words is read, in characters.
_READ_LENGTH: Final = 2048


class Members:
    """The members of one JSON object.

    Nobody needs most members of a response, and gateways change them. So each method returns None for a member that is
    missing or null, and also for one of another type, which it adds to `odd`. Values that are clear although their type
    is another, such as `"true"` or `500000.0`, are read, and added to `odd` as well.

    Args:
        payload: the object; anything else counts as an empty one, and is added to `odd`.
        odd: receives the names of odd members; they are names in this library, never texts of the gateway.
        name: the name of the object, as a prefix of its members.
    """

    def __init__(self, payload: object, odd: list[str], name: str = "") -> None:
        #: Receives the names of odd members.
        self.odd: Final = odd
        self._prefix: Final = f"{name}." if name else ""
        #: The decoded object.
        self.payload: Final[dict[str, Any]] = payload if isinstance(payload, dict) else {}
        if payload is not None and not isinstance(payload, dict):
            odd.append(name or "the body")

    @classmethod
    def of_body(cls, payload: object, odd: list[str]) -> Members:
        """Return the members of a whole body.

        Raises:
            ShapeError: the body is not an object.
        """
        if not isinstance(payload, dict):
            raise ShapeError("the body is not a JSON object")
        return cls(payload, odd)

    def object(self, name: str) -> Members:
        """Return the members of an object; those of an empty one if it is missing or something else."""
        return Members(self.payload.get(name), self.odd, self._prefix + name)

    def flag(self, name: str) -> bool | None:
        """Return a flag."""
        value = self.payload.get(name)
        if value is None or isinstance(value, bool):
            return value
        self._note(name)
        return _FLAGS.get(str(value).strip().lower()) if isinstance(value, (str, int)) else None

    def text(self, name: str) -> str | None:
        """Return a text."""
        value = self.payload.get(name)
        if value is None or isinstance(value, str):
            return value
        self._note(name)
        return None

    def number(self, name: str) -> float | None:
        """Return a finite number; also from a text that is one."""
        value = self.payload.get(name)
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # An int of hundreds of digits has no float.
            if abs(value) <= _GREATEST:
                return value
        elif isinstance(value, str) and len(value) <= 40:
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if math.isfinite(number):
                self._note(name)
                return number
        self._note(name)
        return None

    def whole(self, name: str) -> int | None:
        """Return a whole number; also from another number, which is rounded down."""
        number = self.number(name)
        if number is None or isinstance(number, int):
            return number
        if isinstance(self.payload.get(name), float):
            self._note(name)
        return math.floor(number)

    def list_of_texts(self, name: str) -> list[str] | None:
        """Return the texts of a list; its other entries are left out."""
        value = self.payload.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self._note(name)
            return None
        texts = [entry for entry in value if isinstance(entry, str)]
        if len(texts) < len(value):
            self._note(name)
        return texts

    def rows(self, name: str) -> Iterator[Members]:
        """Iterate over the objects of a list; its other entries are left out."""
        value = self.payload.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            self._note(name)
            return
        yield from rows_of(value, self.odd, self._prefix + name)

    def parts(self, name: str, separator: str) -> tuple[str, ...]:
        """Return the parts of a text, such as the names in `SMART;AMEX`; none if it is empty."""
        text = self.text(name)
        return tuple(part for part in map(str.strip, (text or "").split(separator)) if part)

    def id(self, name: str) -> int | None:
        """Return a contract id: a whole number, which some endpoints send as a text."""
        value = self.payload.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_CONID):
            return value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            number = int(value)
            if number <= MAX_CONID:
                return number
        self._note(name)
        return None

    def date(self, name: str) -> dt.date | None:
        """Return a date, which is a number or a text such as `20261218`; None for an empty text."""
        value = self.payload.get(name)
        if value is None or value == "":
            return None
        found = date_of(value)
        if found is None:
            self._note(name)
        return found

    def words(self) -> str:
        """Return the gateway's words about a session: `fail`, `error`, `message` and `prompts`; possibly empty."""
        return "; ".join(words_of(self.payload))

    def _note(self, name: str) -> None:
        self.odd.append(self._prefix + name)


def rows_of(values: list[Any], odd: list[str], name: str) -> Iterator[Members]:
    """Iterate over the objects of a list; its other entries are left out, and added to `odd`."""
    for value in values:
        if isinstance(value, dict):
            yield Members(value, odd, name)
        else:
            odd.append(name)


def date_of(value: object) -> dt.date | None:
    """Return the date of a number or text such as `20261218`; None for anything else."""
    text = str(value) if isinstance(value, int) and 0 <= value < 100_000_000 else value
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) == 8):
        return None
    try:
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def check_error(payload: object) -> None:
    """Check that a body is not an error of the gateway in place of a result: an object with a text in `error`.

    Raises:
        ErrorBodyError: it is one.
    """
    if isinstance(payload, dict) and error_text(payload):
        raise ErrorBodyError("the body is an error of the gateway")


class Words:
    """The gateway's own words about a session, and what they mean.

    Attributes:
        shown: the words as one printable line, shortened and without anything that looks like a secret; maybe empty.
        meaning: what they mean; None if that is unknown, or if there are none.
    """

    __slots__ = ("meaning", "shown")

    def __init__(self, text: str) -> None:
        if len(text) > _READ_LENGTH:
            # Without its last word, of which the rest is missing: the start of a secret may not look like one.
            text = " ".join(text[:_READ_LENGTH].split()[:-1])
        self.shown: Final = preview(text.encode("utf-8", "replace")) if text else ""
        self.meaning: Final[Meaning | None] = meaning_of_words(text) if text else None
