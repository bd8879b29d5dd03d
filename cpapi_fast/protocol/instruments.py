"""The targets of market data topics: conids, conids on one exchange, and combinations."""

from __future__ import annotations

import operator
import re
from typing import Final, SupportsIndex

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.redaction import shown

#: `Batch.conids` is int64.
MAX_CONID: Final = 2**63 - 1

_EXCHANGE: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,31}")
#: A conid of at most 19 digits with an optional exchange, and one leg of a combination, which has a ratio too.
_AT: Final = r"(?P<conid>[0-9]{1,19})(?:@(?P<exchange>[A-Z0-9][A-Z0-9._-]{0,31}))?"
_LEG: Final = re.compile(rf"{_AT}/(?P<ratio>-?[1-9][0-9]{{0,8}})")
_PLAIN_LEG: Final = re.sub(r"\?P<\w+>", "?:", _LEG.pattern)
_TARGET: Final = re.compile(rf"{_AT}(?:;;;(?P<legs>{_PLAIN_LEG}(?:,{_PLAIN_LEG})+))?")


def _conid_number(conid: object) -> int:
    if isinstance(conid, bool) or not hasattr(type(conid), "__index__"):
        raise SubscriptionError(f"a conid must be a whole number such as 265598, not {shown(conid)}")
    number = operator.index(conid)  # type: ignore[arg-type]
    if not 0 <= number <= MAX_CONID:
        raise SubscriptionError("a conid must be a whole number from 0 to 2**63 - 1, such as 265598")
    return number


def check_exchange(exchange: object) -> str:
    """Return the name of an exchange.

    Raises:
        SubscriptionError: it is no name in capitals.
    """
    if not isinstance(exchange, str) or _EXCHANGE.fullmatch(exchange) is None:
        raise SubscriptionError(
            f"an exchange must be a name in capitals such as 'NYSE' (letters, digits, dot, dash), not {shown(exchange)}"
        )
    return exchange


def conid_target(conid: SupportsIndex, exchange: str | None = None) -> str:
    """Return the target of one conid: `265598`, or `265598@NYSE` for the data of one exchange.

    Raises:
        SubscriptionError: the conid is not an int from 0 to 2**63 - 1 (str and bool are invalid too), or the exchange
            is not a valid name.
    """
    number = _conid_number(conid)
    if exchange is None:
        return str(number)
    check_exchange(exchange)
    return f"{number}@{exchange}"


def market_data_target(instrument: SupportsIndex | str, exchange: str | None = None) -> str:
    """Return the target of a market data topic, in the form in which the gateway repeats it (`conidEx`).

    Args:
        instrument: a conid, or a text: `265598`, `265598@NYSE` for the data of one exchange, or a combination
            `28812380;;;8314/1,8894/-1` with the conid and the ratio of each leg. The conid of the spread depends on the
            currency; the gateway also accepts 0. It and each leg may have an exchange.
        exchange: the exchange of a conid; a text contains its own.

    Raises:
        SubscriptionError: the instrument or the exchange is invalid.
    """
    if not isinstance(instrument, str):
        return conid_target(instrument, exchange)
    match = _TARGET.fullmatch(instrument)
    if match is None:
        raise SubscriptionError(_not_a_target(instrument))
    if exchange is not None:
        if match["exchange"] or match["legs"]:
            raise SubscriptionError(
                f"give the exchange once: {shown(instrument)} names its own, so exchange={shown(exchange)} is too much"
                if match["exchange"]
                else f"a combination has the exchange in its text, as in '{match['conid']}@{exchange};;;...'"
            )
        check_exchange(exchange)
    whole = _canonical(match["conid"], exchange or match["exchange"])
    legs = [
        _canonical(leg["conid"], leg["exchange"]) + f"/{leg['ratio']}" for leg in _LEG.finditer(match["legs"] or "")
    ]
    return f"{whole};;;{','.join(legs)}" if legs else whole


def _canonical(digits: str, exchange: str | None) -> str:
    number = _conid_number(int(digits))
    return f"{number}@{exchange}" if exchange else str(number)


def _not_a_target(text: str) -> str:
    if ";;;" in text:
        return (
            "a combination must be a conid, ';;;' and two or more legs of conid/ratio such as "
            "'28812380;;;8314/1,8894/-1', not "
            f"{shown(text)}"
        )
    if "@" in text:
        return (
            "an exchange must be a name in capitals such as 'NYSE' (letters, digits, dot, dash) behind a conid, as in "
            f"'265598@NYSE', not {shown(text)}"
        )
    return (
        "a conid must be a whole number such as 265598, or a text such as '265598@NYSE' or "
        f"'28812380;;;8314/1,8894/-1', not {shown(text)}"
    )


def split_instruments(text: str) -> tuple[str, ...]:
    """Split a list of instruments at its commas, but not between the legs of a combination.

    A leg always has a ratio (`8894/-1`) and an instrument never has one, so the text is unambiguous:
    `265598,28812380;;;8314/1,8894/-1,265598@NYSE` are three instruments. White space around them is removed. The parts
    are not checked; see `market_data_target`.
    """
    found: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        is_leg = "/" in part and ";;;" not in part
        if is_leg and found and ";;;" in found[-1]:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return tuple(found)


def market_data_topic(instrument: SupportsIndex | str, exchange: str | None = None) -> str:
    """Return the topic of an instrument, `smd+265598`. A text that is such a topic already is returned unchanged.

    Raises:
        SubscriptionError: see `market_data_target`.
    """
    if isinstance(instrument, str) and instrument.startswith("smd+") and exchange is None:
        return instrument
    return f"smd+{market_data_target(instrument, exchange)}"
