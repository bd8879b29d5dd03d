"""Field 6509, the availability of a quote: only its letters tell a delayed or frozen quote from a live one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The first letter decides. The others (P snapshot, p consolidated, B book, d internal) describe the data.
_TIMINGS: Final = {
    "R": ("live", "in real time", True),
    "S": ("live", "streamed in real time", True),
    "D": ("delayed", "delayed, usually by 15 to 20 minutes", True),
    "Z": ("frozen", "frozen: the last values before the market closed", True),
    "Y": ("frozen delayed", "frozen and delayed: old values of a closed market", True),
    "N": ("not subscribed", "not subscribed: this login has no market data subscription for it", False),
    "O": ("not agreed", "held back until the market data API acknowledgement is signed", False),
    "i": ("not agreed", "held back until the market data API acknowledgement is signed", False),
    "v": ("VDR exempt", "exempt from vendor display rules", True),
}


@dataclass(frozen=True, slots=True)
class Availability:
    """The parsed field 6509.

    Attributes:
        letters: the field as received.
        word: one or two words, for a column of a table.
        meaning: the same as a phrase, for a sentence.
        has_data: whether the gateway sends quotes.
    """

    letters: str
    word: str
    meaning: str
    has_data: bool

    @property
    def is_live(self) -> bool:
        """Whether quotes are in real time."""
        return self.word == "live"

    @classmethod
    def parse(cls, letters: str) -> Availability:
        """Parse field 6509. Undocumented letters become the word, and count as data."""
        word, meaning, has_data = _TIMINGS.get(letters[:1], (letters or "unknown", "of an unknown kind", True))
        return cls(letters, word, meaning, has_data)
