"""Converts numbers in the gateway's format, such as `C4,735.10` or `12.2M`, to float without guessing.

Nearly every field of an `smd` frame is a string with a formatted decimal; `83` and the `_raw` fields are JSON numbers.
The accepted forms::

    [C|H] [+|-] digits [, groups of three] [. digits] [e exponent | K | M | B] [%]

* `C` (prior close) and `H` (halted) are flags of a price; `number_prefix` returns them.
* Commas must group thousands. `1,30` may have a decimal comma, so it is not a number.
* `K`, `M` and `B` move the decimal point by 3, 6 and 9 places *before* the conversion, so `12.2M` is the float nearest
  to 12200000 and not the product of two rounded numbers.
* `%` is a unit: `0.54%` is 0.54, the same as the JSON number 0.54 of field 83.
"""

from __future__ import annotations

import math
import re
from typing import Final

#: ASCII digits only: `\d` and float() accept the digits of every script.
_NUMBER: Final = re.compile(
    r"([CH]?)([+-]?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+|(?=\.[0-9]))(\.[0-9]*)?([eE][+-]?[0-9]+|[KMB])?%?"
)

_EXPONENTS: Final = {"K": "e3", "M": "e6", "B": "e9"}


def parse_number(value: object) -> float | None:
    """Convert the value of a field to a float; return None when it is not a number (`N/A`, `-`, an empty string).

    Args:
        value: a decoded JSON value. A string has one of the forms above. A bool, None, a list or a dict is not a
            number.

    Returns:
        The nearest float, always finite; None if the value is not a number or is too large for a float.
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
    """Return `C` when a price is the prior close, `H` when trading is halted; None for other values."""
    if isinstance(value, str) and value[:1] in ("C", "H") and _NUMBER.fullmatch(value) is not None:
        return value[0]
    return None
