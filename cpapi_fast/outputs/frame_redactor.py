"""FrameRedactor: replaces session ids, accounts, user names and tokens in frames, at the same length."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from cpapi_fast.protocol.kinds import FrameKind

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

_MARKET_DATA: Final = int(FrameKind.MARKET_DATA)

#: How many different secrets get a number, and how many are looked for in later frames.
_MAX_NUMBERED: Final = 10_000
_MAX_LEARNED: Final = 64

#: The length from which a text of digits and letters without spaces is taken for a token.
_OPAQUE_LENGTH: Final = 24

#: Shorter secrets are only replaced at their key, because in other texts they are common words.
_MIN_LEARNED_LENGTH: Final = 4

# The keys whose values are secrets, in lower case. The values of `aliases` are names that the user chose.
_KEYS: Final = (
    rb"acct|acctid|acctcode|acct_id|account|accountid|account_id|accountcode|accounts|aliases|selectedaccount|alias|"
    rb"accountalias|account_allocation_name|allocationname|clearingaccount|session|sessionid|session_id|sessiontoken|"
    rb"ssosessionid|token|accesstoken|access_token|refresh_token|oauth_token|mac|hardware_info|cookie|password|user|"
    rb"userid|user_id|username|user_name|login|submitter|credential|email"
)
_SECRET_KEY: Final = re.compile(_KEYS, re.IGNORECASE)

#: The key of the user name in the first `system` frame.
_USER_KEY: Final = b"success"

# A string, with what shows that it is a key; or a number that stands where a value does. A string may be cut.
_TOKEN: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)(?:"(\s*+:)?|\\?$)|([:\[,]\s*+)(-?[0-9][0-9.eE+-]*+)', re.DOTALL)

_ACCOUNT: Final = (
    # One upper-case letter and four digits are enough, but `C4735.10` and `H4735.10` are prices.
    # Colours such as `#AA0000` are none.
    rb"(?<![0-9A-Za-z#])(?:(?:[ABD-GI-Z][A-Z]{0,2}|[CH][A-Z]{1,2})[0-9]{4,12}|[A-Za-z]{2,3}[0-9]{6,12})(?![0-9])"
)
_HEXADECIMAL: Final = (
    rb"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?=[0-9]*[a-fA-F])[0-9a-fA-F]{16,})"
)
_SUSPECT: Final = re.compile(_ACCOUNT + rb"|" + _HEXADECIMAL)

# In other frames also long opaque texts with digits and letters, and what follows the channel of an account's topic.
_SECRET: Final = re.compile(
    rb"(?<=(?<![0-9A-Za-z])(?:spl|pnl|ssd|sld|upl|usd|uld)\+)[^+\s\"'\\{}\[\],;&<>]+|"
    + _ACCOUNT
    + rb"|"
    + _HEXADECIMAL
    + rb"|[0-9A-Za-z+/_=-]{%d,}" % _OPAQUE_LENGTH
)

_DIGIT: Final = re.compile(rb"[0-9]")
_LETTER: Final = re.compile(rb"[A-Za-z]")


class FrameRedactor:
    """Replaces secrets in the frames of one capture by texts of the same length, such as `xxxxxxxx1`.

    The same secret gets the same text everywhere, so that frames of different accounts stay different. JSON stays JSON,
    and the kind, the conid and the channel of a frame do not change. Quotes do not change.

    A secret is the value of a key such as `account` or `sessionId`, the user name in the `system` frame, the account in
    a topic, and what looks like an account, a session id or a token. A value that was found at a key is also replaced
    in the texts of later frames.
    """

    def __init__(self) -> None:
        self._numbers: Final[dict[bytes, int]] = {}
        self._learned: Final[set[bytes]] = set()
        self._literal: re.Pattern[bytes] | None = None

    def redacted(self, batch: Batch) -> memoryview | bytearray:
        """Return the payload bytes of a batch without secrets. They have the same offsets."""
        payloads = batch.payloads
        offsets = batch.offsets
        raw = bytes(payloads)
        changed: bytearray | None = None
        for index, kind in enumerate(bytes(batch.kinds)):
            start, stop = offsets[index], offsets[index + 1]
            # Quotes have no secrets. Searching them costs less than reading their strings.
            if kind == _MARKET_DATA and _SUSPECT.search(raw, start, stop) is None:
                continue
            frame = raw[start:stop]
            clean = self.redact(frame, is_market_data=kind == _MARKET_DATA)
            if clean != frame:
                if changed is None:
                    changed = bytearray(raw)
                changed[start:stop] = clean
        return payloads if changed is None else changed

    def redact(self, frame: bytes, *, is_market_data: bool = False) -> bytes:
        """Return a frame without secrets, at the same length."""
        pieces: list[bytes] = []
        copied = 0
        key = b""
        is_json = frame.lstrip()[:1] in (b"{", b"[")
        for match in _TOKEN.finditer(frame):
            text, colon, _, number = match.groups()
            if number is not None:
                if _is_secret_key(key):
                    start = match.start(4)
                    pieces += (frame[copied:start], _DIGIT.sub(b"9", number))
                    copied = match.end()
                continue
            if colon is not None:
                key = text
                clean = self._text(text, is_market_data=is_market_data, is_key=True)
            elif _is_secret_key(key) or (key == _USER_KEY and not is_market_data):
                clean = self._whole(text)
            else:
                clean = self._text(text, is_market_data=is_market_data, is_key=False)
            if clean != text:
                start = match.start(1)
                pieces += (frame[copied:start], clean)
                copied = start + len(text)
        pieces.append(frame[copied:])
        clean = b"".join(pieces)
        # What is not JSON may have secrets outside of strings.
        return clean if is_json else self._text(clean, is_market_data=False, is_key=False)

    def _text(self, text: bytes, *, is_market_data: bool, is_key: bool) -> bytes:
        if b"\\" in text:
            # Escapes can hide a secret; then nothing of the text is kept.
            try:
                decoded = json.loads(b'"%b"' % text, strict=False).encode("utf-8", "surrogatepass")
            except ValueError:
                return self._mask(text) if _SECRET.search(text.replace(b"\\", b"")) else text
            return text if self._replaced(decoded, is_market_data, is_key=is_key) == decoded else self._mask(text)
        return self._replaced(text, is_market_data, is_key=is_key)

    def _replaced(self, text: bytes, is_market_data: bool, *, is_key: bool) -> bytes:
        if is_market_data:
            return _SUSPECT.sub(self._of_match, text)
        if self._literal is not None:
            text = self._literal.sub(self._of_match, text)
        # A long key is the name of a setting.
        return (_SUSPECT if is_key else _SECRET).sub(self._of_match, text)

    def _whole(self, text: bytes) -> bytes:
        """The replacement of a value that is a secret, which is also looked for from now on."""
        if not text:
            return text
        is_word = len(text) >= _MIN_LEARNED_LENGTH and b"\\" not in text
        # What looks like an account or a session id is found without learning it.
        is_new = is_word and text not in self._learned and _SUSPECT.fullmatch(text) is None
        if is_new and len(self._learned) < _MAX_LEARNED:
            self._learn(text)
        return self._mask(text)

    def _learn(self, text: bytes) -> None:
        self._learned.add(text)
        # The longest first: otherwise a secret that contains another one would be replaced only in part.
        words = sorted(map(re.escape, self._learned), key=len, reverse=True)
        self._literal = re.compile(rb"(?<![0-9A-Za-z])(?:" + b"|".join(words) + rb")(?![0-9A-Za-z])")

    def _of_match(self, match: re.Match[bytes]) -> bytes:
        secret = match[0]
        # A long word or a long number is no token.
        is_plain = len(secret) >= _OPAQUE_LENGTH and not (_DIGIT.search(secret) and _LETTER.search(secret))
        return secret if is_plain else self._mask(secret)

    def _mask(self, secret: bytes) -> bytes:
        length = len(secret)
        number = self._numbers.get(secret)
        if number is None and len(self._numbers) < _MAX_NUMBERED:
            number = self._numbers[secret] = len(self._numbers) + 1
        digits = b"" if number is None else b"%d" % number
        # The first byte is never a digit: `123` could be a conid.
        return b"x" * length if len(digits) >= length else digits.rjust(length, b"x")


def _is_secret_key(key: bytes) -> bool:
    return _SECRET_KEY.fullmatch(key) is not None
