"""The gateway's own words: finds them in decoded JSON, and the `Meaning` of those that are known. No I/O"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import orjson

from cpapi_fast.meaning import Meaning

#: The members with the gateway's own words, the most important first.
_MEMBERS: Final = ("fail", "error", "message", "prompts")
#: The members of an object in one of those that have its text. Without any of them, all of its texts are read.
_TEXT_MEMBERS: Final = (*_MEMBERS, "text", "prompt", "title")

#: Texts of the gateway, in errors and in the members above. They are from IBKR's documentation and from public reports,
#: which docs/reference/errors.md lists, with their variants. They are compared with `_normal` texts.
_TEXTS: Final[tuple[tuple[re.Pattern[str], Meaning], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (
            r"(?<!\bno )(?<!\bnot )(?:force compete|\bcompet(?:e|es|ing)\b)(?!\W{0,3}(?:false|no|0)\b)",
            Meaning.COMPETING,
        ),
        (
            r"(?<!\bno )\b(?:another|other|different) (?:\w+ ){0,2}?"
            r"(?:sessions?|logins?|devices?|locations?|computers?|machines?|ip address)\b",
            Meaning.COMPETING,
        ),
        (r"(?<!\bno )\b(?:existing|multiple|duplicate) (?:sessions?|logins?)\b", Meaning.COMPETING),
        (r"\balready (?:logged|signed) (?:in|on)\b|\blogged in (?:elsewhere|from)\b", Meaning.COMPETING),
        (r"\bno ?bridge\b|\binit session first\b", Meaning.BROKERAGE_CLOSED),
        (r"\bquery /?(?:iserver/)?accounts first\b", Meaning.ACCOUNTS_FIRST),
        (
            r"\bnot ?(?:authenticated|logged ?in)\b|\bunauthenticated\b|\bplease (?:re ?)?log ?in\b",
            Meaning.LOGIN_REQUIRED,
        ),
    )
)


def meaning_of_words(text: str) -> Meaning | None:
    """Return the meaning of a text of the gateway; None if it is unknown."""
    normal = _normal(text)
    return next((meaning for pattern, meaning in _TEXTS if pattern.search(normal) is not None), None)


def _normal(text: str) -> str:
    """A text with single spaces, also in place of hyphens and underscores."""
    return re.sub(r"[\s_\-\u2010-\u2015]+", " ", text)


def words_of(payload: object) -> list[str]:
    """Return the texts in `fail`, `error`, `message` and `prompts` of decoded JSON, at any depth, each once."""
    return texts_in([payload.get(name) for name in _MEMBERS]) if isinstance(payload, dict) else []


def error_text(payload: object) -> str:
    """Return the text of an error in decoded JSON; empty without one."""
    return "; ".join(texts_in([payload.get("error")])) if isinstance(payload, dict) else ""


def words_of_error(body: str) -> str:
    """Return the words in the body of an error that is no page: of JSON its texts without its keys, else all of it.

    `{"competing":false}` does not say that anything competes.
    """
    if body.lstrip()[:1] not in ("{", "["):
        return body
    try:
        return "; ".join(texts_in([orjson.loads(body)], is_complete=True))
    except orjson.JSONDecodeError:
        # Also the start of a long body.
        return re.sub(r'"(?:[^"\\]|\\.)*"\s*:', " ", body)


def texts_in(values: Iterable[object], *, is_complete: bool = False) -> list[str]:
    """Return the texts in decoded JSON, at any depth, each once.

    Args:
        values: the decoded values.
        is_complete: whether to read all members of an object, although it has one for its text.
    """
    found: dict[str, None] = {}
    # A list instead of recursion, because the peer decides about the depth.
    waiting = list(values)[::-1]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if value.strip():
                found[value] = None
        elif isinstance(value, dict):
            members = [value[name] for name in _TEXT_MEMBERS if value.get(name)]
            waiting.extend((list(value.values()) if is_complete or not members else members)[::-1])
        elif isinstance(value, list):
            waiting.extend(value[::-1])
    return list(found)
