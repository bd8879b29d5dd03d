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

# A string, with what shows that it is a key; or a number that stands where a value does; or a bracket. A string may be
# cut.
_TOKEN: Final = re.compile(
    rb'"((?:[^"\\]|\\.)*+)(?:"(?=(\s*+:)?)|\\?$)|(?<=[:\[,\s])(-?[0-9][0-9.eE+-]*+)|([{}\[\]])', re.DOTALL
)

_ACCOUNT: Final = (
    # One upper-case letter and four digits are enough, but `C4735.10` and `H4735.10` are prices.
    # Colours such as `#AA0000` are none.
    rb"(?<![0-9A-Za-z#])(?:(?:[ABD-GI-Z][A-Z]{0,2}|[CH][A-Z]{1,2})[0-9]{4,12}|(?:[A-Za-z]{2,3}|[fu])[0-9]{6,12})(?![0-9])"
)
_HEXADECIMAL: Final = (
    rb"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?=[0-9]*[a-fA-F])[0-9a-fA-F]{16,})"
)
_SUSPECT: Final = re.compile(_ACCOUNT + rb"|" + _HEXADECIMAL)

# A text with a secret contains one of these words in lower case, a letter before four digits, or 16 hexadecimal digits.
# Finding texts is much faster than a regular expression.
_WORDS: Final = (
    *(b"acc", b"alias", b"allocationname", b"sess", b"token", b"mac", b"hardware", b"cookie", b"password"),
    *(b"user", b"login", b"submitter", b"credential", b"email"),
)
_LETTER_AND_DIGITS: Final = b"a0000"
_CLASSES: Final = bytes(
    ord("0") if chr(byte).isdigit() else ord("a") if chr(byte).isalpha() else ord(" ") for byte in range(128)
) + bytes(128)
# With hyphens, because a UUID has eight of these digits before its first one.
_HEXADECIMAL_DIGITS: Final = b"0" * 16
_HEXADECIMAL_CLASSES: Final = bytes(ord("0") if chr(byte) in "0123456789abcdefABCDEF-" else 0 for byte in range(256))

# In other frames also what follows the channel of an account's topic, and long opaque texts, but not in topics.
_TOPIC: Final = re.compile(
    rb"(?<=(?<![0-9A-Za-z])(?:spl|pnl|ssd|sld|sbd|upl|usd|uld|ubd)\+)[^+\s\"'\\{}\[\],;&<>]+|" + _SUSPECT.pattern
)
_SECRET: Final = re.compile(_TOPIC.pattern + rb"|[0-9A-Za-z+/_=-]{%d,}" % _OPAQUE_LENGTH)

# In texts for people: headers with their values, values after a name and `=` as in cookies, and mail addresses.
# Bounded, because a text can have megabytes.
_NAMED: Final = re.compile(
    rb"(cookie:\s{0,3}|authorization:\s{0,3}|bearer\s{1,3})([^\r\n]++)"
    rb"|((?<![\w.-])(?=[\w.-]{0,40}(?:sess|token|cookie|passw|secret|user|login|account|acct|auth))[\w.-]{1,60}+=)"
    rb"([^\s;,&\"'<>\\]++)"
    rb"|()((?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+)++)",
    re.IGNORECASE,
)

_DIGIT: Final = re.compile(rb"[0-9]")
_LETTER: Final = re.compile(rb"[A-Za-z]")


class FrameRedactor:
    """Replaces secrets in the frames of one capture by texts of the same length, such as `xxxxxxxx1`.

    The same secret gets the same text everywhere, so that frames of different accounts stay different. JSON stays JSON,
    and the kind, the conid and the channel of a frame do not change. Quotes do not change.

    A secret is the value of a key such as `account` or `sessionId` with all that is in it, the user name in the
    `system` frame, the account in a topic, what looks like an account, a session id or a token, and cookies and mail
    addresses in texts. A value that was found at a key is also replaced in the texts of later frames.
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
        kinds = bytes(batch.kinds)
        changed: bytearray | None = None
        # Quotes have no secrets, and searching a batch of them costs less than reading their strings.
        if kinds.count(_MARKET_DATA) == len(kinds) and not _is_suspect(raw):
            return payloads
        for index, kind in enumerate(kinds):
            start, stop = offsets[index], offsets[index + 1]
            frame = raw[start:stop]
            if kind == _MARKET_DATA and not _is_suspect(frame):
                continue
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
        # How deep the brackets are nested, and the depth outside of the value of a secret key, all of which is secret.
        depth = 0
        secret_depth: int | None = None
        is_json = frame.lstrip()[:1] in (b"{", b"[")
        for match in _TOKEN.finditer(frame):
            text, colon, number, bracket = match.groups()
            is_secret = secret_depth is not None or _is_secret_key(key)
            if bracket is not None:
                if bracket in b"{[":
                    if secret_depth is None and is_secret:
                        secret_depth = depth
                    depth += 1
                else:
                    depth -= 1
                    if secret_depth is not None and depth <= secret_depth:
                        secret_depth, key = None, b""
                continue
            if number is not None:
                if is_secret:
                    pieces += (frame[copied : match.start()], _DIGIT.sub(b"9", number))
                    copied = match.end()
                continue
            if colon is not None:
                key = _decoded(text)
                clean = self._text(text, _SUSPECT, is_market_data=is_market_data)
            elif is_secret or (key == _USER_KEY and not is_market_data):
                clean = self._whole(text)
            else:
                clean = self._text(text, _TOPIC if key == b"topic" else _SECRET, is_market_data=is_market_data)
            if clean != text:
                start = match.start(1)
                pieces += (frame[copied:start], clean)
                copied = start + len(text)
        pieces.append(frame[copied:])
        clean = b"".join(pieces)
        # What is not JSON may have secrets outside of strings.
        return clean if is_json else self._replaced(clean, _SECRET, is_market_data=False)

    def _text(self, text: bytes, pattern: re.Pattern[bytes], *, is_market_data: bool) -> bytes:
        if b"\\" in text:
            # Escapes can hide a secret; then nothing of the text is kept.
            try:
                decoded = json.loads(b'"%b"' % text, strict=False).encode("utf-8", "surrogatepass")
            except ValueError:
                return self._mask(text) if _SECRET.search(text.replace(b"\\", b"")) else text
            is_clean = self._replaced(decoded, pattern, is_market_data=is_market_data) == decoded
            if is_clean and b'"' in decoded:
                # A text may be JSON again.
                is_clean = self.redact(decoded, is_market_data=is_market_data) == decoded
            return text if is_clean else self._mask(text)
        return self._replaced(text, pattern, is_market_data=is_market_data)

    def _replaced(self, text: bytes, pattern: re.Pattern[bytes], *, is_market_data: bool) -> bytes:
        if is_market_data:
            return _SUSPECT.sub(self._of_match, text)
        if pattern is _SECRET:
            text = _NAMED.sub(self._of_named, text)
        if self._literal is not None:
            text = self._literal.sub(self._of_match, text)
        return pattern.sub(self._of_match, text)

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

    def _of_named(self, match: re.Match[bytes]) -> bytes:
        found = [group for group in match.groups() if group is not None]
        return found[0] + self._mask(found[1])

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
    return _SECRET_KEY.fullmatch(key.replace(b"-", b"_")) is not None


def _decoded(key: bytes) -> bytes:
    """A key without escapes; an invalid one unchanged."""
    if b"\\" not in key:
        return key
    try:
        decoded: str = json.loads(b'"%b"' % key, strict=False)
    except ValueError:
        return key
    return decoded.encode("utf-8", "surrogatepass")


def _is_suspect(text: bytes) -> bool:
    lower = text.lower()
    return (
        _LETTER_AND_DIGITS in text.translate(_CLASSES)
        or _HEXADECIMAL_DIGITS in text.translate(_HEXADECIMAL_CLASSES)
        # An escape can hide a letter.
        or b"\\u" in lower
        or any(word in lower for word in _WORDS)
    )
