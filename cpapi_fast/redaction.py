"""Removes session ids, tokens and account names from the gateway's texts, and shortens texts for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .printable import printable as printable

#: Replaces a secret.
REDACTED: Final = "[redacted]"

#: The maximum length of a preview, in characters.
PREVIEW_LENGTH: Final = 120

# Shorter values are common words such as "1" or "true". Replacing them would garble the text and protect nothing.
_MIN_SECRET_LENGTH: Final = 4

_PATTERNS: Final = (
    # The account in the topic of a subscribe or unsubscribe for profit and loss, account summary or ledger.
    re.compile(r"""((?<![0-9A-Za-z])(?:spl|pnl|ssd|sld|upl|usd|uld)\+)([^+\s"'\\{}\[\],;&<>]+)"""),
    # The value after a key that names a secret.
    re.compile(
        r"""(["']?(?:session|sessionId|token|access_token|MAC|user|userId|username|account|acct|password|cookie)["']?\s*[:=]\s*)"""
        r"""("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;}\]&"'<>]+)""",
        re.IGNORECASE,
    ),
    # UUIDs, session ids and other long opaque values.
    re.compile(r"()(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"),
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


class ConsistentRedactor:
    """Redacts the texts of one file: the same secret gets the same numbered placeholder everywhere."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> str:
        """Return `text` with a placeholder for everything that looks like a secret."""
        for pattern in _PATTERNS:
            text = pattern.sub(self._placeholder, text)
        return text

    def _placeholder(self, match: re.Match[str]) -> str:
        secret = match[0][len(match[1]) :]
        number = self._numbers.setdefault(secret, len(self._numbers) + 1)
        return f"{match[1]}[redacted {number}]"


def preview(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Return the start of a body as one printable line of at most `PREVIEW_LENGTH` characters, without secrets.

    The text is redacted before it is cut, so that no part of a secret remains.
    """
    text = redact(body.decode("utf-8", "replace"), secrets)
    line = printable(" ".join(text[: 4 * PREVIEW_LENGTH].split()))
    return line if len(line) <= PREVIEW_LENGTH else line[: PREVIEW_LENGTH - 1] + "…"


def shown(value: object) -> str:
    """Return a short description of an invalid value for a message.

    A str is cut at 40 characters. Any other value is described by its type, because its `repr` may be long or fail.
    """
    return repr(value[:40]) if isinstance(value, str) else f"a value of type {type(value).__name__}"
