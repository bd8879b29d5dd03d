"""Texts that a terminal would obey or that would forge a line, and a check of what a program has written."""

from __future__ import annotations

import re
from typing import Final

from cpapi_fast.printable import printable

#: Each contains `EVIL`, so that a test can see that it arrived.
HOSTILE_TEXTS: Final = (
    "EVIL\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "EVIL\ncpapi-fast: error: forged\r\x0b\x0c\x1c\x1d\x1eforged\x85forged\u2028forged\u2029forged",
    "EVIL[/x][bold]b[/bold][link=http://evil.example]l[/link] :smile: [red",
    "EVIL\u202e\u2066\u200b\u200d\ufeff\u00ad\u2800\u3164\ufe0f\U000e0041",
    "EVIL\x9b31m\x90q\x9c\x9d0;t\x9c\x7f\x08\x00\t\xa0\u3000",
)

#: The same without what no command line can hold, and in one text for options of which only one value can be tried.
HOSTILE_ARGUMENTS: Final = (
    *(text.replace("\x00", "") for text in HOSTILE_TEXTS),
    "EVIL\udcff\udc9b31m",
)

#: Codes that this program writes itself: colours, and those with which rich draws and restores a screen.
_OWN_CODES: Final = re.compile(
    r"\x1b\[[0-9;]*m|\x1b\[\?(?:25|1049)[hl]|\x1b\[H|\x1b\[2K|\x1b\[[0-9]+A|\x1b\[[0-9]*[GJ]"
)


def assert_harmless(shown: bytes, *, is_terminal: bool = False, encoding: str = "utf-8") -> str:
    """Check that a program wrote printable characters and its own newlines only; returns the text without codes.

    Args:
        shown: the bytes.
        is_terminal: whether colours and the codes of a screen are allowed.
        encoding: the encoding of the stream.
    """
    text = shown.decode(encoding, "surrogateescape")
    if is_terminal:
        text = _OWN_CODES.sub("", text).replace("\r", "")
    for line in text.split("\n"):
        assert printable(line) == line, line
        # A row that continues a notice is indented.
        assert not line.startswith(("forged", "cpapi-fast: error: forged")), line
    for emoji in ("😄", "\U0001f604"):
        assert emoji not in text
    return text
