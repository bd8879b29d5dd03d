"""The catalogue of market data fields: the code, key and meaning of each field of an `smd` frame.

IB adds codes, so codes that the catalogue does not contain are allowed everywhere: they are requested, and their values
are passed on unchanged. Nearly every value is a JSON string with a decimal in display precision; the meanings below
name the exceptions. Recorded frames contain 31, 55, 83 to 88, 6119, 6508, 6509, 7059 and `87_raw`; the rest comes from
IB's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.redaction import repr_without_accounts, shown


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Field:
    """One field: its code on the wire, its key for programs, and its meaning."""

    code: str
    key: str
    meaning: str


# One row per field, sorted by code.
_ROWS: Final = (
    ("31", "last_price", "price of the last trade; a leading C marks a prior close, a leading H a halt; may be N/A"),
    ("55", "symbol", "ticker symbol; a dash for an unknown conid"),
    ("58", "text", "free text"),
    ("70", "high", "highest price of the day"),
    ("71", "low", "lowest price of the day"),
    ("73", "market_value", "value of the position held, in real time even without a data subscription"),
    ("74", "avg_price", "average price of the position"),
    ("75", "unrealized_pnl", "profit or loss of the open position"),
    ("76", "formatted_position", "size of the position as text for display"),
    ("77", "formatted_unrealized_pnl", "profit or loss of the open position, as text for display (K and M possible)"),
    ("78", "daily_pnl", "profit or loss since the prior close"),
    ("79", "realized_pnl", "profit or loss of closed positions"),
    ("80", "unrealized_pnl_percent", "profit or loss of the open position, in percent"),
    ("82", "change", "last price minus prior close; may have a sign"),
    ("83", "change_percent", "last price against prior close, in percent; a JSON number on the wire"),
    ("84", "bid_price", "highest bid"),
    ("85", "ask_size", "size offered at the ask; may have commas between thousands"),
    ("86", "ask_price", "lowest ask"),
    ("87", "volume", "volume of the day in short form such as 12.2M; the frame also has 87_raw, a number"),
    ("88", "bid_size", "size wanted at the bid; may have commas between thousands"),
    ("201", "right", "P for a put, C for a call"),
    ("6004", "exchange", "exchange"),
    ("6008", "conid", "contract id; a JSON number"),
    ("6070", "sec_type", "asset class: STK, OPT and so on"),
    ("6072", "months", "months of the contract"),
    ("6073", "regular_expiry", "regular expiry"),
    ("6119", "market_data_marker", "marker of the delivery; equals server_id"),
    ("6457", "underlying_conid", "contract id of the underlying; a JSON number"),
    ("6508", "service_params", "ids of the services behind the data; sent even if it is not requested"),
    ("6509", "market_data_availability", "whether the data is real time, delayed, frozen or not subscribed"),
    ("7051", "company_name", "name of the company"),
    ("7057", "ask_codes", "venues quoting the ask, one letter each"),
    ("7058", "last_exch_codes", "venue of the last trade, one letter"),
    ("7059", "last_size", "size of the last trade"),
    ("7068", "bid_codes", "venues quoting the bid, one letter each"),
    ("7084", "implied_vol_hist_vol_percent", "implied over historical volatility, in percent"),
    ("7085", "put_call_interest", "put to call ratio of the open interest"),
    ("7086", "put_call_volume", "put to call ratio of the volume"),
    ("7087", "hist_vol_percent", "historical volatility over 30 days in real time, in percent"),
    ("7088", "hist_vol_close_percent", "historical volatility computed from the prior close, in percent"),
    ("7089", "opt_volume", "volume in options"),
    ("7094", "conid_exchange", "contract id together with the exchange"),
    ("7184", "can_be_traded", "1 when the contract can be traded, else 0"),
    ("7219", "contract_description", "description of the contract"),
    ("7220", "contract_description_alt", "description of the contract, second form"),
    ("7221", "listing_exchange", "exchange of the listing"),
    ("7280", "industry", "industry"),
    ("7281", "category", "branch of the industry"),
    ("7282", "average_volume_90", "mean daily volume over 90 days"),
    ("7283", "option_implied_vol_percent", "implied volatility of the underlying over 30 days, in percent"),
    ("7284", "hist_vol_deprecated", "historical volatility under a retired code; 7087 replaces it"),
    ("7285", "put_call_ratio", "put to call ratio"),
    ("7286", "dividend_amount", "amount of the next dividend"),
    ("7287", "dividend_yield_percent", "dividend yield, in percent"),
    ("7288", "ex_date_dividend", "day from which a buyer no longer gets the dividend"),
    ("7289", "market_cap", "market capitalisation (K, M or B)"),
    ("7290", "p_e", "price over earnings"),
    ("7291", "eps", "earnings per share"),
    ("7292", "cost_basis", "position times average price times multiplier"),
    ("7293", "52_week_high", "highest price of 52 weeks"),
    ("7294", "52_week_low", "lowest price of 52 weeks"),
    ("7295", "open", "opening price of the day"),
    ("7296", "close", "closing price of the day"),
    ("7308", "delta", "delta of the option"),
    ("7309", "gamma", "gamma of the option"),
    ("7310", "theta", "theta of the option"),
    ("7311", "vega", "vega of the option"),
    ("7607", "opt_volume_change_percent", "volume in options against its mean, in percent"),
    ("7633", "implied_vol_percent", "implied volatility at this strike, in percent"),
    ("7635", "mark_price", "last price, moved into the range from bid to ask"),
    ("7636", "shortable_shares", "shares that can be borrowed to sell short"),
    ("7637", "shortable_fee_rate_percent", "fee rate for borrowing, in percent"),
    ("7638", "option_open_interest", "open interest of the option"),
    ("7639", "percent_of_mark_value", "share of the account's market value, in percent"),
    ("7644", "shortable", "how hard it is to borrow the shares"),
    ("7655", "morningstar_rating", "Morningstar rating (withdrawn in 2026)"),
    ("7671", "dividends", "dividends per share expected over the next 12 months"),
    ("7672", "dividends_ttm", "dividends per share of the last 12 months"),
    ("7674", "ema_200", "exponential moving average over 200 days"),
    ("7675", "ema_100", "exponential moving average over 100 days"),
    ("7676", "ema_50", "exponential moving average over 50 days"),
    ("7677", "ema_20", "exponential moving average over 20 days"),
    ("7678", "price_to_ema_200_percent", "price over its 200-day average, minus one, in percent"),
    ("7679", "price_to_ema_100_percent", "price over its 100-day average, minus one, in percent"),
    ("7681", "price_to_ema_20_percent", "price over its 20-day average, minus one, in percent"),
    ("7682", "change_since_open", "last price minus opening price"),
    ("7683", "upcoming_event", "next event of the company (needs Wall Street Horizon)"),
    ("7684", "upcoming_event_date", "date of the next event (needs Wall Street Horizon)"),
    ("7685", "upcoming_analyst_meeting", "next meeting with analysts (needs Wall Street Horizon)"),
    ("7686", "upcoming_earnings", "next earnings report (needs Wall Street Horizon)"),
    ("7687", "upcoming_misc_event", "next event of another sort (needs Wall Street Horizon)"),
    ("7688", "recent_analyst_meeting", "latest meeting with analysts (needs Wall Street Horizon)"),
    ("7689", "recent_earnings", "latest earnings report (needs Wall Street Horizon)"),
    ("7690", "recent_misc_event", "latest event of another sort (needs Wall Street Horizon)"),
    ("7694", "probability_of_max_return", "implied odds of the largest possible gain, in percent"),
    ("7695", "break_even", "points at which the position breaks even"),
    ("7696", "spx_delta", "delta weighted by beta against the S&P 500"),
    ("7697", "futures_open_interest", "open interest of the future"),
    ("7698", "last_yield", "yield of the bond at the last price, in percent"),
    ("7699", "bid_yield", "yield of the bond at the bid, in percent"),
    ("7700", "probability_of_max_return_alt", "IB's documentation describes it like 7694"),
    ("7702", "probability_of_max_loss", "implied odds of the largest possible loss, in percent"),
    ("7703", "profit_probability", "implied odds of any gain, in percent"),
    ("7704", "organization_type", "kind of issuer (bonds)"),
    ("7705", "debt_class", "class of the debt"),
    ("7706", "ratings", "ratings of the bond"),
    ("7707", "bond_state_code", "state code of the bond"),
    ("7708", "bond_type", "kind of bond"),
    ("7714", "last_trading_date", "last day of trading"),
    ("7715", "issue_date", "day of issue"),
    ("7718", "beta", "beta against the market"),
    ("7720", "ask_yield", "yield of the bond at the ask, in percent"),
    ("7724", "price_to_ema_50_percent", "price over its 50-day average, minus one, in percent (7680 is not in use)"),
    ("7741", "prior_close", "close of the day before"),
    ("7762", "volume_long", "volume of the day with all its digits"),
    ("7768", "has_trading_permissions", "1 when the account may trade this, else 0"),
    ("7899", "stock_type", "kind of stock"),
    ("7920", "daily_pnl_raw", "78 without formatting"),
    ("7921", "cost_basis_raw", "7292 without formatting"),
    ("7943", "rebate_rate", "rebate rate of a short position"),
)

#: Every documented field by code, in order.
FIELDS: Final[Mapping[str, Field]] = MappingProxyType({row[0]: Field(*row) for row in _ROWS})

#: The fields that the library requests, decodes and shows by default, in the order of columns: last, bid, ask, ask
#: size, bid size, volume. All other default lists of fields are derived from this one.
DEFAULT_FIELDS: Final = ("31", "84", "86", "85", "88", "87")

#: The keys that a `TickDecoder` decodes by default: the default fields without the volume, in the order of their codes,
#: and `_updated`, the event time.
DEFAULT_TICK_FIELDS: Final = (*sorted(code for code in DEFAULT_FIELDS if code != "87"), "_updated")

_BY_KEY: Final[Mapping[str, str]] = MappingProxyType({field.key: field.code for field in FIELDS.values()})


def field_code(key: str) -> str:
    """Return the code of the field with this key: `field_code("last_price")` is `"31"`.

    Raises:
        SubscriptionError: no field has this key.
    """
    code = _BY_KEY.get(key) if isinstance(key, str) else None
    if code is None:
        raise SubscriptionError(f"unknown field key: {shown(key)}. See `key` of the entries in cpapi_fast.FIELDS.")
    return code
