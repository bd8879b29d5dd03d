"""What field 6509 says of a quote: a delayed or frozen one looks exactly like a live one, but for these letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The first letter decides; the others (P snapshot, p consolidated, B book, d internal) say what the data consists of.
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
    """Field 6509, read.

    Attributes:
        letters: as they stand on the wire.
        word: one or two words, for a column of a table.
        meaning: the same, for a sentence.
        has_data: whether quotes come at all.
    """

    letters: str
    word: str
    meaning: str
    has_data: bool

    @property
    def is_live(self) -> bool:
        """Whether quotes are told as they happen."""
        return self.word == "live"

    @classmethod
    def parse(cls, letters: str) -> Availability:
        """Read field 6509; letters that nobody has documented are shown as they are, and taken for data."""
        word, meaning, has_data = _TIMINGS.get(letters[:1], (letters or "unknown", "of a kind that is not known", True))
        return cls(letters, word, meaning, has_data)
