"""The catalogue of market data fields: the code, key and meaning of each field of an `smd` frame.

IB adds codes, so codes that the catalogue does not contain are allowed everywhere: they are requested, and their values
are passed on unchanged. Nearly every value is a JSON string with a decimal in display precision; the meanings below
name the exceptions. Recorded frames contain 31, 55, 83 to 88, 6119, 6508, 6509, 7059 and `87_raw`; the rest comes from
IB's documentation.
"""

from __future__ import annotations

import difflib
import enum
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.redaction import repr_without_accounts, shown

_CODE: Final = re.compile(r"[0-9]{1,19}")


class FieldKind(enum.Enum):
    """What the value of a field is. It decides the type of the field's column."""

    #: A price, as a number.
    PRICE = "price"
    #: A number of shares or contracts.
    SIZE = "size"
    #: A number that is neither price, size nor percentage: an amount of money, a ratio, a greek.
    NUMBER = "number"
    #: A percentage: 0.54 is 0.54 %.
    PERCENT = "percent"
    #: A text.
    TEXT = "text"
    #: 1 or 0.
    FLAG = "flag"
    #: A date. IB does not document the form, so it stays a text.
    DATE = "date"
    #: A contract id.
    ID = "id"


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Field:
    """One field of the catalogue.

    Attributes:
        code: its code on the wire, such as `31`.
        key: its name for programs, such as `last_price`.
        meaning: what the value means, in one line.
        kind: what the value is.
        unit: `currency` (of the instrument or the account), `shares or contracts`, `percent`; empty without a unit.
        form: the JSON type on the wire: `text`, `number`, or `text or number`.
        source: where the field is documented.
        is_recorded: whether recorded frames contain it. The form of the others is documented only.
    """

    code: str
    key: str
    meaning: str
    kind: FieldKind = FieldKind.TEXT
    unit: str = ""
    form: str = "text"
    source: str = ""
    is_recorded: bool = False

    @property
    def is_number(self) -> bool:
        """Whether `parse_number` converts the value: all kinds but texts and dates."""
        return self.kind not in (FieldKind.TEXT, FieldKind.DATE)


# Kinds with their units.
_PRICE: Final = (FieldKind.PRICE, "currency")
_SIZE: Final = (FieldKind.SIZE, "shares or contracts")
_MONEY: Final = (FieldKind.NUMBER, "currency")
_NUMBER: Final = (FieldKind.NUMBER, "")
_PERCENT: Final = (FieldKind.PERCENT, "percent")
_TEXT: Final = (FieldKind.TEXT, "")
_FLAG: Final = (FieldKind.FLAG, "")
_DATE: Final = (FieldKind.DATE, "")
_ID: Final = (FieldKind.ID, "")

# Sources, and whether recorded frames contain the field.
_TABLE: Final = ("IB's table of fields", False)
_RECORDED: Final = ("IB's table of fields", True)
_OPENAPI: Final = ("IB's OpenAPI file only", False)
_IBIND: Final = ("an older table of IB, kept by ibind; perhaps withdrawn", False)

# One row per field, sorted by code.
_ROWS: Final = (
    (
        "31",
        "last_price",
        _PRICE,
        _RECORDED,
        "price of the last trade; a leading C marks a prior close, a leading H a halt; may be N/A",
    ),
    ("55", "symbol", _TEXT, _RECORDED, "ticker symbol; a dash for an unknown conid"),
    ("58", "text", _TEXT, _TABLE, "free text"),
    ("70", "high", _PRICE, _TABLE, "highest price of the day"),
    ("71", "low", _PRICE, _TABLE, "lowest price of the day"),
    ("73", "market_value", _MONEY, _TABLE, "value of the position held, in real time even without a data subscription"),
    ("74", "avg_price", _PRICE, _TABLE, "average price of the position"),
    ("75", "unrealized_pnl", _MONEY, _TABLE, "profit or loss of the open position"),
    ("76", "formatted_position", _TEXT, _TABLE, "size of the position as text for display"),
    (
        "77",
        "formatted_unrealized_pnl",
        _TEXT,
        _TABLE,
        "profit or loss of the open position, as text for display (K and M possible)",
    ),
    ("78", "daily_pnl", _MONEY, _TABLE, "profit or loss since the prior close"),
    ("79", "realized_pnl", _MONEY, _TABLE, "profit or loss of closed positions"),
    ("80", "unrealized_pnl_percent", _PERCENT, _TABLE, "profit or loss of the open position, in percent"),
    ("82", "change", _MONEY, _TABLE, "last price minus prior close; may have a sign"),
    (
        "83",
        "change_percent",
        _PERCENT,
        _RECORDED,
        "last price against prior close, in percent; a JSON number on the wire",
    ),
    ("84", "bid_price", _PRICE, _RECORDED, "highest bid"),
    ("85", "ask_size", _SIZE, _RECORDED, "size offered at the ask; may have commas between thousands"),
    ("86", "ask_price", _PRICE, _RECORDED, "lowest ask"),
    (
        "87",
        "volume",
        _SIZE,
        _RECORDED,
        "volume of the day in short form such as 12.2M; the frame also has 87_raw, a number",
    ),
    ("88", "bid_size", _SIZE, _RECORDED, "size wanted at the bid; may have commas between thousands"),
    ("201", "right", _TEXT, _TABLE, "P for a put, C for a call"),
    ("6004", "exchange", _TEXT, _TABLE, "exchange"),
    ("6008", "conid", _ID, _TABLE, "contract id; a JSON number"),
    ("6070", "sec_type", _TEXT, _TABLE, "asset class: STK, OPT and so on"),
    ("6072", "months", _TEXT, _TABLE, "months of the contract"),
    ("6073", "regular_expiry", _TEXT, _TABLE, "regular expiry"),
    ("6119", "market_data_marker", _TEXT, _RECORDED, "marker of the delivery; equals server_id"),
    ("6457", "underlying_conid", _ID, _TABLE, "contract id of the underlying; a JSON number"),
    (
        "6508",
        "service_params",
        _TEXT,
        _RECORDED,
        "ids of the services behind the data; sent even if it is not requested",
    ),
    (
        "6509",
        "market_data_availability",
        _TEXT,
        _RECORDED,
        "whether the data is real time, delayed, frozen or not subscribed",
    ),
    ("7051", "company_name", _TEXT, _TABLE, "name of the company"),
    ("7057", "ask_codes", _TEXT, _TABLE, "venues quoting the ask, one letter each"),
    ("7058", "last_exch_codes", _TEXT, _TABLE, "venue of the last trade, one letter"),
    ("7059", "last_size", _SIZE, _RECORDED, "size of the last trade"),
    ("7068", "bid_codes", _TEXT, _TABLE, "venues quoting the bid, one letter each"),
    ("7084", "implied_vol_hist_vol_percent", _PERCENT, _TABLE, "implied over historical volatility, in percent"),
    ("7085", "put_call_interest", _NUMBER, _TABLE, "put to call ratio of the open interest"),
    ("7086", "put_call_volume", _NUMBER, _TABLE, "put to call ratio of the volume"),
    ("7087", "hist_vol_percent", _PERCENT, _TABLE, "historical volatility over 30 days in real time, in percent"),
    (
        "7088",
        "hist_vol_close_percent",
        _PERCENT,
        _TABLE,
        "historical volatility computed from the prior close, in percent",
    ),
    ("7089", "opt_volume", _SIZE, _TABLE, "volume in options"),
    ("7094", "conid_exchange", _TEXT, _TABLE, "contract id together with the exchange"),
    ("7184", "can_be_traded", _FLAG, _TABLE, "1 when the contract can be traded, else 0"),
    ("7219", "contract_description", _TEXT, _TABLE, "description of the contract"),
    ("7220", "contract_description_alt", _TEXT, _TABLE, "description of the contract, second form"),
    ("7221", "listing_exchange", _TEXT, _TABLE, "exchange of the listing"),
    ("7280", "industry", _TEXT, _TABLE, "industry"),
    ("7281", "category", _TEXT, _TABLE, "branch of the industry"),
    ("7282", "average_volume_90", _SIZE, _TABLE, "mean daily volume over 90 days"),
    (
        "7283",
        "option_implied_vol_percent",
        _PERCENT,
        _TABLE,
        "implied volatility of the underlying over 30 days, in percent",
    ),
    ("7284", "hist_vol_deprecated", _PERCENT, _TABLE, "historical volatility under a retired code; 7087 replaces it"),
    ("7285", "put_call_ratio", _NUMBER, _TABLE, "put to call ratio"),
    ("7286", "dividend_amount", _MONEY, _IBIND, "amount of the next dividend"),
    ("7287", "dividend_yield_percent", _PERCENT, _IBIND, "dividend yield, in percent"),
    ("7288", "ex_date_dividend", _DATE, _IBIND, "day from which a buyer no longer gets the dividend"),
    ("7289", "market_cap", _MONEY, _IBIND, "market capitalisation (K, M or B)"),
    ("7290", "p_e", _NUMBER, _IBIND, "price over earnings"),
    ("7291", "eps", _MONEY, _IBIND, "earnings per share"),
    ("7292", "cost_basis", _MONEY, _TABLE, "position times average price times multiplier"),
    ("7293", "52_week_high", _PRICE, _TABLE, "highest price of 52 weeks"),
    ("7294", "52_week_low", _PRICE, _TABLE, "lowest price of 52 weeks"),
    ("7295", "open", _PRICE, _TABLE, "opening price of the day"),
    ("7296", "close", _PRICE, _TABLE, "closing price of the day"),
    ("7308", "delta", _NUMBER, _TABLE, "delta of the option"),
    ("7309", "gamma", _NUMBER, _TABLE, "gamma of the option"),
    ("7310", "theta", _NUMBER, _TABLE, "theta of the option"),
    ("7311", "vega", _NUMBER, _TABLE, "vega of the option"),
    ("7607", "opt_volume_change_percent", _PERCENT, _TABLE, "volume in options against its mean, in percent"),
    ("7633", "implied_vol_percent", _PERCENT, _TABLE, "implied volatility at this strike, in percent"),
    ("7635", "mark_price", _PRICE, _TABLE, "last price, moved into the range from bid to ask"),
    ("7636", "shortable_shares", _SIZE, _TABLE, "shares that can be borrowed to sell short"),
    ("7637", "shortable_fee_rate_percent", _PERCENT, _TABLE, "fee rate for borrowing, in percent"),
    ("7638", "option_open_interest", _SIZE, _TABLE, "open interest of the option"),
    ("7639", "percent_of_mark_value", _PERCENT, _TABLE, "share of the account's market value, in percent"),
    ("7644", "shortable", _TEXT, _TABLE, "how hard it is to borrow the shares"),
    ("7655", "morningstar_rating", _TEXT, _IBIND, "Morningstar rating (withdrawn in 2026)"),
    ("7671", "dividends", _MONEY, _TABLE, "dividends per share expected over the next 12 months"),
    ("7672", "dividends_ttm", _MONEY, _TABLE, "dividends per share of the last 12 months"),
    ("7674", "ema_200", _PRICE, _TABLE, "exponential moving average over 200 days"),
    ("7675", "ema_100", _PRICE, _TABLE, "exponential moving average over 100 days"),
    ("7676", "ema_50", _PRICE, _TABLE, "exponential moving average over 50 days"),
    ("7677", "ema_20", _PRICE, _TABLE, "exponential moving average over 20 days"),
    ("7678", "price_to_ema_200_percent", _PERCENT, _TABLE, "price over its 200-day average, minus one, in percent"),
    ("7679", "price_to_ema_100_percent", _PERCENT, _TABLE, "price over its 100-day average, minus one, in percent"),
    ("7681", "price_to_ema_20_percent", _PERCENT, _TABLE, "price over its 20-day average, minus one, in percent"),
    ("7682", "change_since_open", _MONEY, _TABLE, "last price minus opening price"),
    ("7683", "upcoming_event", _TEXT, _TABLE, "next event of the company (needs Wall Street Horizon)"),
    ("7684", "upcoming_event_date", _DATE, _TABLE, "date of the next event (needs Wall Street Horizon)"),
    ("7685", "upcoming_analyst_meeting", _TEXT, _TABLE, "next meeting with analysts (needs Wall Street Horizon)"),
    ("7686", "upcoming_earnings", _TEXT, _TABLE, "next earnings report (needs Wall Street Horizon)"),
    ("7687", "upcoming_misc_event", _TEXT, _TABLE, "next event of another sort (needs Wall Street Horizon)"),
    ("7688", "recent_analyst_meeting", _TEXT, _TABLE, "latest meeting with analysts (needs Wall Street Horizon)"),
    ("7689", "recent_earnings", _TEXT, _TABLE, "latest earnings report (needs Wall Street Horizon)"),
    ("7690", "recent_misc_event", _TEXT, _TABLE, "latest event of another sort (needs Wall Street Horizon)"),
    ("7694", "probability_of_max_return", _PERCENT, _TABLE, "implied odds of the largest possible gain, in percent"),
    ("7695", "break_even", _TEXT, _TABLE, "points at which the position breaks even"),
    ("7696", "spx_delta", _NUMBER, _TABLE, "delta weighted by beta against the S&P 500"),
    ("7697", "futures_open_interest", _SIZE, _TABLE, "open interest of the future"),
    ("7698", "last_yield", _PERCENT, _TABLE, "yield of the bond at the last price, in percent"),
    ("7699", "bid_yield", _PERCENT, _TABLE, "yield of the bond at the bid, in percent"),
    ("7700", "probability_of_max_return_alt", _PERCENT, _TABLE, "IB's documentation describes it like 7694"),
    ("7702", "probability_of_max_loss", _PERCENT, _TABLE, "implied odds of the largest possible loss, in percent"),
    ("7703", "profit_probability", _PERCENT, _TABLE, "implied odds of any gain, in percent"),
    ("7704", "organization_type", _TEXT, _TABLE, "kind of issuer (bonds)"),
    ("7705", "debt_class", _TEXT, _TABLE, "class of the debt"),
    ("7706", "ratings", _TEXT, _TABLE, "ratings of the bond"),
    ("7707", "bond_state_code", _TEXT, _TABLE, "state code of the bond"),
    ("7708", "bond_type", _TEXT, _TABLE, "kind of bond"),
    ("7714", "last_trading_date", _DATE, _TABLE, "last day of trading"),
    ("7715", "issue_date", _DATE, _TABLE, "day of issue"),
    ("7718", "beta", _NUMBER, _IBIND, "beta against the market"),
    ("7720", "ask_yield", _PERCENT, _TABLE, "yield of the bond at the ask, in percent"),
    (
        "7724",
        "price_to_ema_50_percent",
        _PERCENT,
        _TABLE,
        "price over its 50-day average, minus one, in percent (7680 is not in use)",
    ),
    ("7741", "prior_close", _PRICE, _TABLE, "close of the day before"),
    ("7762", "volume_long", _SIZE, _TABLE, "volume of the day with all its digits"),
    ("7768", "has_trading_permissions", _FLAG, _TABLE, "1 when the account may trade this, else 0"),
    ("7899", "stock_type", _TEXT, _OPENAPI, "kind of stock"),
    ("7920", "daily_pnl_raw", _MONEY, _TABLE, "78 without formatting"),
    ("7921", "cost_basis_raw", _MONEY, _TABLE, "7292 without formatting"),
    ("7943", "rebate_rate", _PERCENT, _OPENAPI, "rebate rate of a short position"),
)

#: The fields that are, or can be, JSON numbers on the wire. All others are texts.
_FORMS: Final = {"83": "text or number", "6008": "number", "6457": "number"}

#: Every documented field by code, in order.
FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        code: Field(code, key, meaning, kind, unit, _FORMS.get(code, "text"), source, is_recorded)
        for code, key, (kind, unit), (source, is_recorded), meaning in _ROWS
    }
)

#: The fields that the library requests, decodes and shows by default, in the order of columns: last, bid, ask, ask
#: size, bid size, volume. All other default lists of fields are derived from this one.
DEFAULT_FIELDS: Final = ("31", "84", "86", "85", "88", "87")

#: The keys that a `TickDecoder` decodes by default: the default fields without the volume, in the order of their codes,
#: and `_updated`, the event time.
DEFAULT_TICK_FIELDS: Final = (*sorted(code for code in DEFAULT_FIELDS if code != "87"), "_updated")

#: How many keys a message about an unknown one names.
_MAX_SIMILAR: Final = 3

_BY_KEY: Final[Mapping[str, str]] = MappingProxyType({field.key: field.code for field in FIELDS.values()})


def field_code(name: str | int) -> str:
    """Return the code of a field: `"31"` for the key `"last_price"` and for the codes `"31"` and `31`.

    Args:
        name: the key of a field of the catalogue, or a code. Codes that the catalogue does not contain are returned
            unchanged, because IB adds fields.

    Raises:
        SubscriptionError: no field has this key, or the code does not consist of 1 to 19 digits. The message names
            the most similar keys.
    """
    if isinstance(name, str):
        code = _BY_KEY.get(name)
        if code is not None:
            return code
        text = name
    else:
        text = _code_of_number(name)
    if _CODE.fullmatch(text) is not None:
        return text
    raise SubscriptionError(
        f"unknown field: {shown(name)}. Use a code such as '31' or a key such as 'last_price'; cpapi_fast.FIELDS has "
        f"all of them.{similar_keys(text)}"
    )


def similar_keys(name: str, *, similarity: float = 0.6) -> str:
    """Return a sentence with the keys that are most similar to an unknown one; empty if there is none.

    Keys in which the name is a word come first: `bid_price` for `bid`.

    Args:
        name: the unknown key.
        similarity: the minimum similarity of other keys, from 0 to 1.
    """
    if not name:
        return ""
    name = name.lower()[:40]
    # The default fields first, because most people mean them.
    keys = (*(FIELDS[code].key for code in DEFAULT_FIELDS), *sorted(_BY_KEY, key=len))
    words = [key for key in keys if name in key.split("_")]
    close = difflib.get_close_matches(name, _BY_KEY, n=_MAX_SIMILAR, cutoff=similarity)
    found = list(dict.fromkeys([*words, *close]))[:_MAX_SIMILAR]
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _code_of_number(number: object) -> str:
    """Return a code given as an integer of any type; an empty text for anything else."""
    if isinstance(number, bool) or not hasattr(type(number), "__index__"):
        return ""
    code = operator.index(number)  # type: ignore[arg-type]
    # Python raises for the str of an int with thousands of digits.
    return str(code) if 0 <= code < 2**63 else ""
