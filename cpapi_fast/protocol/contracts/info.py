"""ContractInfo: the terms of one contract"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.protocol.members import Members, check_error
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.redaction import repr_without_accounts

_NAMES: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH: Final = re.compile(rf"(?i)(?:20[0-9]{{2}}(?:0[1-9]|1[0-2])|(?P<name>{'|'.join(_NAMES)})(?P<short>[0-9]{{2}}))")


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class ContractInfo:
    """The terms of one contract, of `Client.contract_info`. What the gateway does not report is empty or None.

    Attributes:
        conid: the contract id.
        symbol: the symbol; of a derivative, that of the underlying.
        local_symbol: the symbol at the exchange, such as `ESZ6`.
        sec_type: the type: `STK`, `FUT`, `OPT`, `CASH`, `IND` and so on.
        currency: the currency in which it trades.
        exchange: the exchange.
        valid_exchanges: the exchanges and venues where it trades.
        company_name: the name of the company or the product.
        trading_class: the trading class.
        contract_month: the month of a derivative, such as `202612`. A whole date is none, because a contract may expire
            in another month.
        maturity: the date on which it ends.
        multiplier: the value of one point of the price.
        strike: the strike of an option.
        right: `C` or `P` of an option.
        underlying_conid: the contract id of the underlying.
        raw: the decoded body.
        odd: the names of members that had an unexpected type.
    """

    conid: int
    symbol: str
    local_symbol: str
    sec_type: str
    currency: str
    exchange: str
    valid_exchanges: tuple[str, ...]
    company_name: str
    trading_class: str
    contract_month: str
    maturity: dt.date | None
    multiplier: float | None
    strike: float | None
    right: str
    underlying_conid: int | None
    raw: dict[str, Any] = field(repr=False)
    odd: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, payload: object, conid: int | None = None) -> ContractInfo:
        """Parse the decoded body of `/iserver/contract/{conid}/info`.

        Args:
            payload: the decoded body.
            conid: the conid that was asked for, which the body need not repeat.

        Raises:
            ShapeError: the body is not an object, has neither a contract id nor a symbol, or is about another contract.
            ErrorBodyError: it is an error.
        """
        check_error(payload)
        odd: list[str] = []
        body = Members.of_body(payload, odd)
        found = body.id("con_id") or None
        if found is None and (conid is None or not body.payload.keys() & {"symbol", "local_symbol", "instrument_type"}):
            raise ShapeError("con_id is missing or not a contract id")
        if None not in (found, conid) and found != conid:
            raise ShapeError("con_id is that of another contract")
        # Numbers are texts in some builds, which is no surprise.
        ignored: list[str] = []
        numbers = Members(body.payload, ignored)
        return cls(
            conid=found if found is not None else conid or 0,
            symbol=body.text("symbol") or "",
            local_symbol=body.text("local_symbol") or "",
            sec_type=body.text("instrument_type") or "",
            currency=body.text("currency") or "",
            exchange=body.text("exchange") or "",
            valid_exchanges=body.parts("valid_exchanges", ","),
            company_name=body.text("company_name") or "",
            trading_class=body.text("trading_class") or "",
            contract_month=_month(body, "contract_month") or _month(body, "expiry_full"),
            maturity=body.date("maturity_date"),
            multiplier=numbers.number("multiplier"),
            strike=numbers.number("strike"),
            right=body.text("right") or "",
            # 0 stands for none.
            underlying_conid=body.id("underlying_con_id") or None,
            raw=body.payload,
            odd=tuple(odd),
        )


def _month(body: Members, name: str) -> str:
    """Return a month such as `202612`, which may be a number, or a text such as `DEC26`; empty for anything else."""
    value = body.payload.get(name)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**8 else value
    if text is None or text == "":
        return ""
    match = _MONTH.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        body.odd.append(name)
        return ""
    if match["name"]:
        return f"20{match['short']}{_NAMES.index(match['name'].upper()) + 1:02}"
    return match[0]
