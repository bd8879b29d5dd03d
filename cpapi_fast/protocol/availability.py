"""Parses field 6509, the availability of a quote: live, delayed, frozen or not subscribed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cpapi_fast.redaction import repr_without_accounts

# By the first letter: the word, the meaning, and whether the gateway sends quotes. The other letters (P snapshot,
# p consolidated, B book, d internal) describe the data.
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


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Availability:
    """The parsed field 6509.

    Attributes:
        letters: the field as received.
        word: a short name for a column of a table, such as `frozen delayed`.
        meaning: a longer phrase for a sentence.
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
        """Parse field 6509. Letters that are not documented become the word, and `has_data` is True for them."""
        word, meaning, has_data = _TIMINGS.get(letters[:1], (letters or "unknown", "of an unknown kind", True))
        return cls(letters, word, meaning, has_data)
