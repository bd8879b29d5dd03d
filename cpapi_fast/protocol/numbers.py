"""What the numbers on the wire mean: display text such as `C4,735.10` or `12.2M` to float, and nothing guessed.

Nearly every field of an `smd` frame is a string holding a decimal as a screen would show it; `83` and the `_raw`
companions are JSON numbers. The forms that stand for a number::

    [C|H] [+|-] digits [, groups of three] [. digits] [e exponent | K | M | B] [%]

* `C` (prior close) and `H` (halted) say something about the price and are not part of it; `number_prefix` tells them.
* Commas are accepted only where thousands are grouped rightly. `1,30` may be a decimal comma, so it is no number here.
* `K`, `M` and `B` move the decimal point by 3, 6 and 9 places *before* the text becomes a float, so `12.2M` is the
  float nearest to 12200000 and not the product of two rounded numbers.
* `%` is a unit: `0.54%` is 0.54, the same as the JSON number 0.54 that `83` carries.
"""

from __future__ import annotations

import math
import re
from typing import Final

#: Commas need at least one whole group after them; without commas any number of digits goes. ASCII digits only: `\d`
#: would take any script's, and so would float().
_NUMBER: Final = re.compile(
    r"([CH]?)([+-]?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+|(?=\.[0-9]))(\.[0-9]*)?([eE][+-]?[0-9]+|[KMB])?%?"
)

_EXPONENTS: Final = {"K": "e3", "M": "e6", "B": "e9"}


def parse_number(value: object) -> float | None:
    """The number that a field of the wire holds, or None when it holds none (`N/A`, `-`, an empty text, anything else).

    Args:
        value: a decoded JSON value. A string is read as described above; an int or float is taken as it is; a bool,
            null, list or object is no number.

    Returns:
        The float nearest to what is written; always finite, so a number too large for a float gives None.
    """
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        if match is None:
            return None
        _, sign, whole, fraction, exponent = match.groups()
        text = f"{sign}{whole.replace(',', '')}{fraction or ''}{_EXPONENTS.get(exponent, exponent or '')}"
        number = float(text)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
    else:
        return None
    return number if math.isfinite(number) else None


def number_prefix(value: object) -> str | None:
    """`C` when a price is the prior close, `H` when the instrument is halted; None for a plain number or no number."""
    if isinstance(value, str) and value[:1] in ("C", "H") and _NUMBER.fullmatch(value) is not None:
        return value[0]
    return None
