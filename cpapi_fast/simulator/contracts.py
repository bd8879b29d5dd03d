"""The contracts that the simulated gateway lists: stocks, futures and currency pairs, with their symbols and terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

_LETTERS: Final = "ABCDEFGHIKLMNOPRSTUVW"
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH_LETTERS: Final = "FGHJKMNQUVXZ"
#: The currency of an exchange outside the United States.
_CURRENCIES: Final = {"MEXI": "MXN", "EBS": "CHF", "LSEETF": "GBP", "TSE": "CAD"}


@dataclass(frozen=True)
class Contract:
    """One contract.

    Attributes:
        conid: the contract id.
        symbol: the symbol; of a future that of its underlying.
        name: the name of the company or product.
        sec_type: `STK`, `IND`, `FUT` or `CASH`.
        exchange: the listing exchange.
        currency: the currency.
        local_symbol: the symbol at the exchange.
        month: the month of a future, such as `202612`.
        expiration: its expiration, such as `20261218`.
        underlying_conid: the contract id of its underlying; 0 for none.
        multiplier: its multiplier; empty for none.
    """

    conid: int
    symbol: str
    name: str
    sec_type: str = "STK"
    exchange: str = "NASDAQ"
    currency: str = "USD"
    local_symbol: str = ""
    month: str = ""
    expiration: str = ""
    underlying_conid: int = 0
    multiplier: str = ""

    @property
    def is_us(self) -> bool:
        """Whether it is listed in the United States."""
        return self.exchange not in _CURRENCIES


def _stock(conid: int, symbol: str, name: str, exchange: str = "NASDAQ") -> Contract:
    return Contract(conid, symbol, name, exchange=exchange, currency=_CURRENCIES.get(exchange, "USD"))


def _future(
    conid: int, symbol: str, name: str, month: str, expiration: str, underlying: int, exchange: str, multiplier: str
) -> Contract:
    local_symbol = f"{symbol}{_MONTH_LETTERS[int(month[4:]) - 1]}{month[3]}"
    return Contract(
        conid, symbol, name, "FUT", exchange, "USD", local_symbol, month, expiration, underlying, multiplier
    )


_LISTED: Final = (
    _stock(265598, "AAPL", "APPLE INC"),
    _stock(38708077, "AAPL", "APPLE INC", "MEXI"),
    _stock(273982664, "AAPL", "APPLE INC", "EBS"),
    _stock(493546048, "AAPL", "LS 1X AAPL", "LSEETF"),
    _stock(8314, "IBM", "INTL BUSINESS MACHINES CORP", "NYSE"),
    _stock(8894, "KO", "COCA-COLA CO/THE", "NYSE"),
    _stock(272093, "MSFT", "MICROSOFT CORP"),
    _stock(38708990, "MSFT", "MICROSOFT CORP", "MEXI"),
    _stock(76792991, "TSLA", "TESLA INC"),
    _stock(756733, "SPY", "SS SPDR S&P 500 ETF TRUST-US", "ARCA"),
    Contract(13455763, "VIX", "CBOE VOLATILITY INDEX", "IND", "CBOE"),
    Contract(11004968, "ES", "E-MINI S&P 500", "IND", "CME"),
    Contract(17340715, "CL", "LIGHT SWEET CRUDE OIL", "IND", "NYMEX"),
    _future(649180695, "ES", "E-MINI S&P 500", "202612", "20261218", 11004968, "CME", "50"),
    _future(649180696, "ES", "E-MINI S&P 500", "202703", "20270319", 11004968, "CME", "50"),
    _future(649180697, "ES", "E-MINI S&P 500", "202706", "20270618", 11004968, "CME", "50"),
    # Crude oil expires in the month before the month of the contract.
    _future(212921500, "CL", "LIGHT SWEET CRUDE OIL", "202701", "20261221", 17340715, "NYMEX", "1000"),
    _future(212921501, "CL", "LIGHT SWEET CRUDE OIL", "202702", "20270120", 17340715, "NYMEX", "1000"),
    Contract(12087792, "EUR", "European Monetary Union Euro", "CASH", "IDEALPRO", "USD", "EUR.USD"),
    Contract(12087797, "GBP", "British pound", "CASH", "IDEALPRO", "USD", "GBP.USD"),
    Contract(15016059, "USD", "United States dollar", "CASH", "IDEALPRO", "JPY", "USD.JPY"),
)


def contract_of(conid: int) -> Contract:
    """The contract of a conid: the same in every topic and response, and for every seed. Most are invented stocks."""
    known = _BY_CONID.get(conid)
    if known is not None:
        return known
    random = Random(f"contract/{conid}")
    symbol = "".join(random.choice(_LETTERS) for _ in range(4))
    return Contract(conid, symbol, f"{symbol} HOLDINGS INC")


_BY_CONID: Final = {contract.conid: contract for contract in _LISTED}


class Contracts:
    """The contracts that can be found by symbol: the listed ones, and those of the conids in the options.

    Args:
        conids: further conids.
    """

    def __init__(self, conids: Iterable[int] = ()) -> None:
        more = [contract_of(conid) for conid in conids if conid not in _BY_CONID]
        self._all: Final = (*_LISTED, *more)

    def _of(self, symbol: str, *sec_types: str) -> list[Contract]:
        return [one for one in self._all if one.symbol == symbol and one.sec_type in sec_types]

    def matches(self, text: str, *, by_name: bool, sec_type: str | None) -> list[dict[str, Any]]:
        """The matches of a search: by symbol, exactly; by name, from the beginning of a word."""
        found = []
        for one in self._all:
            if one.sec_type == "FUT" or (sec_type is not None and one.sec_type != sec_type):
                continue
            if text.upper() in one.name.upper() if by_name else text.upper() in (one.symbol, one.local_symbol):
                found.append(self._match(one))
        return found

    def _match(self, one: Contract) -> dict[str, Any]:
        sections: list[dict[str, Any]] = [{"secType": one.sec_type}]
        months = [f"{_MONTHS[int(other.month[4:]) - 1]}{other.month[2:4]}" for other in self._of(one.symbol, "FUT")]
        if months and one.sec_type == "IND":
            sections.append({"secType": "FUT", "months": ";".join(months), "exchange": one.exchange})
        elif one.sec_type == "STK" and one.is_us:
            sections.append({"secType": "OPT", "months": "DEC26;JAN27", "exchange": "SMART;AMEX;CBOE;PHLX"})
        if one.sec_type == "CASH":
            sections[0] |= {"exchange": one.exchange}
        return {
            # A text here, and a number everywhere else.
            "conid": str(one.conid),
            "companyHeader": f"{one.name} - {one.exchange}",
            "companyName": one.name,
            "symbol": one.symbol,
            "description": one.exchange,
            "restricted": "IND" if one.sec_type == "IND" else None,
            "fop": None,
            "opt": "20261218;20270115" if len(sections) > 1 else None,
            "war": None,
            "sections": sections,
        }

    def stocks(self, symbol: str) -> list[dict[str, Any]]:
        """The companies with this symbol, each with its listings; empty without one."""
        by_name: dict[str, list[Contract]] = {}
        for one in self._of(symbol, "STK"):
            by_name.setdefault(one.name, []).append(one)
        return [
            {
                "name": name,
                "chineseName": None,
                "assetClass": "STK",
                "contracts": [{"conid": one.conid, "exchange": one.exchange, "isUS": one.is_us} for one in listings],
            }
            for name, listings in by_name.items()
        ]

    def futures(self, symbol: str) -> list[dict[str, Any]]:
        """The futures of an underlying; empty without one."""
        return [
            {
                "symbol": symbol,
                "conid": one.conid,
                "underlyingConid": one.underlying_conid,
                "expirationDate": int(one.expiration),
                "ltd": int(one.expiration) - 1,
                "shortFuturesCutOff": int(one.expiration) - 1,
                "longFuturesCutOff": int(one.expiration) - 1,
            }
            for one in self._of(symbol, "FUT")
        ]

    def pairs(self, currency: str) -> list[dict[str, Any]]:
        """The currency pairs that contain a currency."""
        found = []
        for one in self._all:
            pair = one.local_symbol.split(".") if one.sec_type == "CASH" else []
            if currency in pair:
                other = pair[0] if pair[1] == currency else pair[1]
                found.append({"symbol": one.local_symbol, "conid": one.conid, "ccyPair": other})
        return found


def info(one: Contract) -> dict[str, Any]:
    """The body of `/iserver/contract/{conid}/info`."""
    is_future = one.sec_type == "FUT"
    return {
        "cfi_code": "",
        "symbol": one.symbol,
        "cusip": None,
        "expiry_full": one.month or None,
        "con_id": one.conid,
        "maturity_date": one.expiration or None,
        "industry": "",
        "instrument_type": one.sec_type,
        "trading_class": one.symbol if is_future else "NMS",
        "valid_exchanges": one.exchange if is_future else f"SMART,{one.exchange}",
        "allow_sell_long": False,
        "is_zero_commission_security": False,
        "local_symbol": one.local_symbol or one.symbol,
        "contract_clarification_type": None,
        "classifier": None,
        "currency": one.currency,
        "text": None,
        "underlying_con_id": one.underlying_conid,
        "r_t_h": not is_future,
        "multiplier": one.multiplier or None,
        "underlying_issuer": None,
        "contract_month": one.month or None,
        "company_name": one.name,
        "smart_available": not is_future,
        "exchange": one.exchange,
    }
