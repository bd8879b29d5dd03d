"""Makes texts from outside printable: one line, in which characters that are not visible are shown as escapes"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

#: Characters that `str.isprintable` accepts, although a terminal shows nothing for them: joiners, fillers, variation
#: selectors (Unicode: Default_Ignorable_Code_Point, category not C), and the empty Braille pattern.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

#: Characters that JSON allows in a text, but that a terminal may obey: everything above ASCII, and DEL.
_NOT_PLAIN: Final = re.compile("[^\x00-\x7e]")


def printable(text: str) -> str:
    r"""Return `text` as one line in which every character can be seen, for terminals, logs and messages.

    These are shown as escapes such as `\x1b`, `\n` and `\u202e`: control characters (with them the sequences that
    terminals obey), line separators, marks that change the direction of writing, characters without width, spaces other
    than the ASCII one, lone surrogates, and code points that Unicode reserves or leaves to private use. Everything
    else stays. Applying it twice changes nothing more. Its cost is that of one pass, for a text that needs no change.
    """
    if text.isprintable() and (text.isascii() or _INVISIBLE.search(text) is None):
        return text
    return "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """Return a text of several lines whose newlines are those of this program, with each line made printable."""
    return "\n".join(map(printable, text.split("\n")))


def json_bytes(value: Any, *, is_indented: bool = False) -> bytes:
    r"""Return JSON in printable ASCII: every other character is a `\u` escape, so that no terminal obeys a text in it.

    Its content is exact. A lone surrogate is written as an escape too, which some readers refuse.
    """
    try:
        data = orjson.dumps(value, option=orjson.OPT_INDENT_2 if is_indented else None)
    except orjson.JSONEncodeError:
        if not _has_surrogate(value):
            raise
        text = json.dumps(
            value, indent=2 if is_indented else None, separators=(",", ": ") if is_indented else (",", ":")
        )
    else:
        if data.isascii() and b"\x7f" not in data:
            return data
        text = data.decode()
    return _NOT_PLAIN.sub(_json_escape, text).encode("ascii")


def _shown(character: str) -> str:
    if character.isprintable() and _INVISIBLE.match(character) is None:
        return character
    # `ascii` writes an escape for everything except printable ASCII.
    return ascii(character)[1:-1]


def _json_escape(match: re.Match[str]) -> str:
    # In UTF-16, as JSON wants it: two escapes beyond the first plane.
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _has_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(_has_surrogate(key) or _has_surrogate(item) for key, item in value.items())
    return isinstance(value, (list, tuple)) and any(map(_has_surrogate, value))
