"""Converts between values of a configuration and values of options, with the parsers of the command line"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any, Final

from cpapi_fast.cli.arguments import Extend
from cpapi_fast.protocol.hours import DailyWindow
from cpapi_fast.redaction import REDACTED, redact

#: Options whose values are accounts.
SECRET: Final = frozenset({"summary", "ledger"})

#: Options in octal. A number in a file would be decimal, or octal with `0o`, so that 640 would mean something else.
_OCTAL: Final = frozenset({"file_mode"})

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class WrongValueError(ValueError):
    """A value cannot be that of its option.

    Attributes:
        element: the element of a list that is wrong; None for the whole value.
    """

    def __init__(self, problem: str, element: object = None) -> None:
        super().__init__(problem)
        self.element: Final = element


def is_flag(action: argparse.Action) -> bool:
    """Whether an option takes no value."""
    return action.nargs == 0


def is_list(action: argparse.Action) -> bool:
    """Whether an option takes several values."""
    return isinstance(action, Extend) or isinstance(action.default, tuple)


def from_file(action: argparse.Action, value: Any) -> Any:
    """Return the value of an option from its value in TOML.

    Raises:
        WrongValueError: it is none.
    """
    if isinstance(value, bool):
        if is_flag(action):
            return value
        if action.nargs == "?":
            return action.const if value else action.default
        raise WrongValueError(f"must be {_wanted(action)}, not {str(value).lower()}")
    if is_flag(action):
        raise WrongValueError("must be true or false, without quotes")
    if isinstance(value, list):
        if not is_list(action):
            raise WrongValueError(f"must be {_wanted(action)}, not a list")
        found: tuple[Any, ...] = ()
        for element in value:
            if isinstance(element, bool) or not isinstance(element, (str, int)):
                raise WrongValueError("a list must have texts or whole numbers only", element)
            found += tuple(_parsed(action, str(element), element))
        return found
    if not isinstance(value, (str, int, float)):
        raise WrongValueError(f"must be {_wanted(action)}, not a value of type {type(value).__name__}")
    if action.dest in _OCTAL and not isinstance(value, str):
        raise WrongValueError('must be a text in octal, such as "640"')
    return _parsed(action, str(value))


def from_text(action: argparse.Action, text: str) -> Any:
    """Return the value of an option from the text of an environment variable.

    Raises:
        WrongValueError: it is none.
    """
    word = text.strip().lower()
    if is_flag(action) or (action.nargs == "?" and word in (_TRUE | _FALSE) - {"0", "1"}):
        if word not in _TRUE | _FALSE:
            raise WrongValueError("must be true or false")
        if is_flag(action):
            return word in _TRUE
        return action.const if word in _TRUE else action.default
    return _parsed(action, text)


def _wanted(action: argparse.Action) -> str:
    return "a text, a number or a list" if is_list(action) else "a text or a number"


def _parsed(action: argparse.Action, text: str, element: object = None) -> Any:
    value: Any = text
    if callable(action.type):
        try:
            value = action.type(text)
        except argparse.ArgumentTypeError as exc:
            raise WrongValueError(str(exc), element) from None
        except (TypeError, ValueError):
            name = {"int": "a whole number"}.get(getattr(action.type, "__name__", ""), "a value of this option")
            raise WrongValueError(f"must be {name}", element) from None
    if action.choices is not None and value not in action.choices:
        raise WrongValueError(f"must be one of {', '.join(map(str, action.choices))}", element)
    return value


def toml_text(action: argparse.Action, value: Any) -> str:
    """Return the value of an option as TOML, without accounts. None is an empty text."""
    if value is None or (action.nargs == "?" and value is False):
        return ""
    if action.dest in SECRET:
        return _list_text([REDACTED] * len(value))
    if value is True or value is False:
        return str(value).lower()
    if action.dest in _OCTAL:
        return json.dumps(f"{value:o}")
    if isinstance(value, tuple) and len(value) == 1 and (value[0] is None or isinstance(value[0], DailyWindow)):
        window = value[0]
        return json.dumps("none" if window is None else f"{window.start}-{window.end}@{window.time_zone}")
    if isinstance(value, tuple):
        return _list_text(value) if is_list(action) else json.dumps(",".join(map(str, value)))
    return _scalar_text(value, keeps=action.dest != "url")


def _list_text(values: Sequence[Any]) -> str:
    return f"[{', '.join(_scalar_text(value) for value in values)}]"


def _scalar_text(value: Any, *, keeps: bool = True) -> str:
    if isinstance(value, (int, float)):
        return str(value)
    # Every escape of JSON is one of TOML too, except for characters beyond the basic plane, which need none.
    return json.dumps(str(value) if keeps else redact(str(value)), ensure_ascii=False).replace("\x7f", "\\u007f")
