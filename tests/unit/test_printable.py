"""Printable texts: one line, in which no character is invisible or obeyed by a terminal; JSON in ASCII."""

from __future__ import annotations

import json
import sys
import unicodedata

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import CpapiError, OutputError, RequestTimeoutError
from cpapi_fast.printable import json_bytes, printable, printable_lines
from tests.support.hostile import HOSTILE_TEXTS

#: Characters that have no place in a line: see the Unicode categories, and Default_Ignorable_Code_Point.
_REFUSED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

any_text = st.text(st.characters(categories=None), max_size=50)  # lone surrogates too
any_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=10,
)


def test_every_character() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        shown = printable(character)
        assert shown.isprintable()
        if unicodedata.category(character) in _REFUSED_CATEGORIES or shown != character:
            assert shown == ascii(character)[1:-1] != character
    for character in "\u200b\u200d\ufeff\u00ad\u034f\u2800\u3164\ufe0f\u202e\u2066\u2028\x85\x9b\x7f\x1b\n\udc80":
        assert printable(character) != character
    for text in ("a b", "данные", "数据", "é", "e\u0301", "\\n", "😀", "[/x] :smile:"):
        assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("a\r\nb", r"a\r\nb"),
        ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
        ("\u202eabc", r"\u202eabc"),
        ("\U000e0041", r"\U000e0041"),
        ("b\udce9", r"b\udce9"),
        ("a\u00a0b\u3000c", r"a\xa0b\u3000c"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


@given(any_text, any_text)
def test_lines_stay_lines(first: str, second: str) -> None:
    first, second = first.replace("\n", " "), second.replace("\n", " ")
    assert printable_lines(f"{first}\n{second}") == f"{printable(first)}\n{printable(second)}"


@given(any_json)
def test_json_is_exact_and_printable(value: object) -> None:
    for data in (json_bytes(value), json_bytes(value, is_indented=True)):
        assert json.loads(data) == value
        assert all(printable(line) == line for line in data.decode("ascii").split("\n"))
    assert b"\n" not in json_bytes(value)


def test_json_of_ordinary_texts_is_what_orjson_writes() -> None:
    value = {"a": [1, 2.5, None, True], "b": 'x"y\n'}
    assert json_bytes(value) == orjson.dumps(value)
    assert json_bytes(value, is_indented=True) == orjson.dumps(value, option=orjson.OPT_INDENT_2)
    with pytest.raises(TypeError):
        json_bytes(object())


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_messages_of_errors_are_printable(text: str) -> None:
    for error in (CpapiError(text), OutputError(text, path="x"), RequestTimeoutError(text)):
        assert str(error) == printable(text)
        assert error.args == (text,)
        assert repr(error).isprintable()
