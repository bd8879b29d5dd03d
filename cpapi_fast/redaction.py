"""Removes session ids, tokens and account names from the gateway's texts, and shortens texts for messages."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import PurePath
from typing import Any, Final, TypeVar

from .printable import printable as printable

T = TypeVar("T")

#: Replaces a secret.
REDACTED: Final = "[redacted]"

#: The maximum length of a preview, in characters.
PREVIEW_LENGTH: Final = 120

#: How much of a long body is read for a preview at first and at most, in bytes or characters. More is read only if
#: secrets make up most of it.
_WINDOW_LENGTH: Final = 2048
_MAX_WINDOW_LENGTH: Final = 16384

#: The preview of a longer body is that of so many bytes of it.
PREVIEW_SOURCE_BYTES: Final = _MAX_WINDOW_LENGTH + 1

#: What a preview is made of: control characters and spaces shorten it.
_SOURCE_LENGTH: Final = 4 * PREVIEW_LENGTH

#: The end of a text that may be the beginning of a longer secret. What its parts are depends on what follows.
_OPEN_END: Final = re.compile(r"(?<![0-9A-Za-z+/_=\\-])[0-9A-Za-z+/_=\\-]+\Z")

#: How many different secrets get a numbered placeholder.
_MAX_NUMBERED: Final = 10_000

# Shorter values are common words such as "1" or "true". Replacing them would garble the text and protect nothing.
_MIN_SECRET_LENGTH: Final = 4

# The account in the topic of a subscribe or unsubscribe for profit and loss, account summary, ledger or price ladder.
_TOPIC: Final = re.compile(r"""((?<![0-9A-Za-z])(?:spl|pnl|ssd|sld|sbd|upl|usd|uld|ubd)\+)([^+\s"'\\{}\[\],;&<>]+)""")

# An account, but not the start of a fingerprint in hexadecimal.
_ACCOUNT: Final = re.compile(r"()(?<![0-9A-Za-z])[A-Za-z]{1,3}[0-9]{5,12}(?![0-9])(?![0-9A-Za-z]{8})")

_UUID: Final = re.compile(r"()(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])")

_PATTERNS: Final = (
    _TOPIC,
    # The value after a key that names a secret.
    re.compile(
        r"""(["']?(?:session|sessionId|token|access_token|MAC|user|userId|username|account|acct|password|cookie)["']?\s*[:=]\s*)"""
        r"""("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;}\]&"'<>]+)""",
        re.IGNORECASE,
    ),
    # UUIDs, session ids and other long opaque values.
    _UUID,
    re.compile(r"()[0-9a-fA-F]{16,}"),
    re.compile(r"()[0-9A-Za-z+/_=-]{24,}"),
    # Accounts such as U1234567, DU1234567, F1234567, DF1234567.
    re.compile(r"()(?<![0-9A-Za-z])[A-Za-z]{1,3}[0-9]{5,12}(?![0-9])"),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without the given secrets and without anything that looks like a secret."""
    # The longest first: otherwise a secret that contains another one would be replaced only in part.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, REDACTED)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{REDACTED}", text)
    return text


#: A session id or another opaque value after its name, and a UUID. Words of plain English have no digit.
_NAMED_SECRET: Final = re.compile(
    r"""((?:session|sessionid|session_id|token|mac|cookie|password|x-sess-uuid)["']?\s*[:=]\s*["']?)"""
    r"""(?=[^\s,;}\]&"'<>]*[0-9])[^\s,;}\]&"'<>]{8,}""",
    re.IGNORECASE,
)


def redact_line(text: str) -> str:
    """Return a line for people without accounts and session ids. Unlike `redact`, it keeps fingerprints and paths."""
    text = redact_accounts(text)
    for pattern in (_NAMED_SECRET, _UUID):
        text = pattern.sub(rf"\g<1>{REDACTED}", text)
    return text


def redact_accounts(text: str) -> str:
    """Return `text` without accounts. Unlike `redact`, it keeps long names, fingerprints and paths."""
    for pattern in (_TOPIC, _ACCOUNT):
        text = pattern.sub(rf"\g<1>{REDACTED}", text)
    return text


def repr_without_accounts(cls: type[T]) -> type[T]:
    """Replace the `repr` of a dataclass by one without accounts. The attributes are unchanged.

    Use it as a decorator above `dataclass`. It is the only place where texts of dataclasses are shown.
    """

    def __repr__(self: Any) -> str:  # noqa: N807 - becomes a method
        texts = [f"{field.name}={_shown(getattr(self, field.name))}" for field in fields(self) if field.repr]
        return f"{type(self).__qualname__}({', '.join(texts)})"

    cls.__repr__ = __repr__  # type: ignore[method-assign]
    return cls


def _shown(value: object) -> str:
    # The `repr` of a value without accounts, also inside of collections.
    if type(value) is str:
        return repr(redact_accounts(value))
    if isinstance(value, PurePath):
        return repr(type(value)(redact_accounts(str(value))))
    if type(value) is tuple:
        return f"({', '.join(map(_shown, value))}{',' if len(value) == 1 else ''})"
    if type(value) is list:
        return f"[{', '.join(map(_shown, value))}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{_shown(key)}: {_shown(item)}' for key, item in value.items())}}}"
    return repr(value)


class ConsistentRedactor:
    """Redacts the texts of one file: the same secret gets the same numbered placeholder everywhere.

    Secrets beyond the first 10,000 different ones get a placeholder without a number.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> str:
        """Return `text` with a placeholder for everything that looks like a secret."""
        for pattern in _PATTERNS:
            text = pattern.sub(self._placeholder, text)
        return text

    def _placeholder(self, match: re.Match[str]) -> str:
        secret = match[0][len(match[1]) :]
        number = self._numbers.get(secret)
        if number is None:
            # The gateway can invent secrets, so the memory for them is bounded.
            if len(self._numbers) >= _MAX_NUMBERED:
                return f"{match[1]}{REDACTED}"
            number = self._numbers[secret] = len(self._numbers) + 1
        return f"{match[1]}[redacted {number}]"


def preview(body: bytes | str, secrets: Iterable[str] = ()) -> str:
    """Return the start of a body as one printable line of at most `PREVIEW_LENGTH` characters, without secrets.

    The line is that of the redacted body. However long the body is, only its start is decoded and redacted, and no part
    of a secret remains where it is cut.
    """
    text, is_whole = _redacted_start(body, tuple(secrets))
    line = printable(" ".join(text[:_SOURCE_LENGTH].split()))
    if len(line) > PREVIEW_LENGTH:
        return line[: PREVIEW_LENGTH - 1] + "…"
    return line if is_whole or len(text) >= _SOURCE_LENGTH else f"{line[: PREVIEW_LENGTH - 2]} …".lstrip()


def _redacted_start(body: bytes | str, secrets: tuple[str, ...]) -> tuple[str, bool]:
    """Return the start of the redacted body, as much as a preview needs, and whether it is the whole of it."""
    length = _WINDOW_LENGTH
    while True:
        text, is_whole = _start(body, length)
        if is_whole:
            return redact(text, secrets), True
        text = redact(_without_open_end(text, secrets), secrets)
        if len(text) >= _SOURCE_LENGTH or length >= _MAX_WINDOW_LENGTH:
            return text, False
        length *= 2


def _start(body: bytes | str, length: int) -> tuple[str, bool]:
    """Return the first `length` bytes or characters of a body as text, and whether that is all."""
    is_whole = len(body) <= length
    if isinstance(body, str):
        return body[:length], is_whole
    # Does not decode a character that is cut.
    return codecs.getincrementaldecoder("utf-8")("replace").decode(body[:length], is_whole), is_whole


def _without_open_end(text: str, secrets: tuple[str, ...]) -> str:
    """Return a text that was cut without what may be the beginning of a secret at its end."""
    length = -1
    while len(text) != length:
        length = len(text)
        text = _OPEN_END.sub("", text)
        for secret in secrets:
            if len(secret) >= _MIN_SECRET_LENGTH:
                shortest = max(0, len(text) - len(secret) + 1)
                begin = next((start for start in range(shortest, len(text)) if secret.startswith(text[start:])), None)
                text = text[:begin]
    return text


def shown(value: object) -> str:
    """Return a short description of an invalid value for a message.

    A str is cut at 40 characters. Any other value is described by its type, because its `repr` may be long or fail.
    """
    return repr(value[:40]) if isinstance(value, str) else f"a value of type {type(value).__name__}"
