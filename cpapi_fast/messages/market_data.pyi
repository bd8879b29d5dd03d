from typing import Any

from cpapi_fast.protocol.availability import Availability

from .enums import OptionRight
from .member import Message, TextMember
from .member_types import FlagMember, FunctionMember, IntegerMember, MillisecondsMember, NumberMember

class MarketDataMessage(Message):
    """Fields of one instrument (`smd`). After the first snapshot, a message has only what changed.

    Each field of the catalogue is an attribute with the name of its key. Three names differ: `week_52_high`,
    `week_52_low`, and `contract_conid` for 6008, because `conid` is that of the message. Codes that the catalogue does
    not contain are in `extras`.
    """

    conid: IntegerMember
    conid_ex: TextMember
    server_id: TextMember
    updated: MillisecondsMember
    updated_ms: IntegerMember
    daily_pnl_number: NumberMember
    volume_number: NumberMember
    average_volume_90_number: NumberMember
    cost_basis_number: NumberMember
    last_price: NumberMember
    symbol: TextMember
    text: TextMember
    high: NumberMember
    low: NumberMember
    market_value: NumberMember
    avg_price: NumberMember
    unrealized_pnl: NumberMember
    formatted_position: TextMember
    formatted_unrealized_pnl: TextMember
    daily_pnl: NumberMember
    realized_pnl: NumberMember
    unrealized_pnl_percent: NumberMember
    change: NumberMember
    change_percent: NumberMember
    bid_price: NumberMember
    ask_size: NumberMember
    ask_price: NumberMember
    volume: NumberMember
    bid_size: NumberMember
    right: FunctionMember[OptionRight]
    exchange: TextMember
    contract_conid: IntegerMember
    sec_type: TextMember
    months: TextMember
    regular_expiry: TextMember
    market_data_marker: TextMember
    underlying_conid: IntegerMember
    service_params: TextMember
    market_data_availability: TextMember
    company_name: TextMember
    ask_codes: TextMember
    last_exch_codes: TextMember
    last_size: NumberMember
    bid_codes: TextMember
    implied_vol_hist_vol_percent: NumberMember
    put_call_interest: NumberMember
    put_call_volume: NumberMember
    hist_vol_percent: NumberMember
    hist_vol_close_percent: NumberMember
    opt_volume: NumberMember
    conid_exchange: TextMember
    can_be_traded: FlagMember
    contract_description: TextMember
    contract_description_alt: TextMember
    listing_exchange: TextMember
    industry: TextMember
    category: TextMember
    average_volume_90: NumberMember
    option_implied_vol_percent: NumberMember
    hist_vol_deprecated: NumberMember
    put_call_ratio: NumberMember
    dividend_amount: NumberMember
    dividend_yield_percent: NumberMember
    ex_date_dividend: TextMember
    market_cap: NumberMember
    p_e: NumberMember
    eps: NumberMember
    cost_basis: NumberMember
    week_52_high: NumberMember
    week_52_low: NumberMember
    open: NumberMember
    close: NumberMember
    delta: NumberMember
    gamma: NumberMember
    theta: NumberMember
    vega: NumberMember
    opt_volume_change_percent: NumberMember
    implied_vol_percent: NumberMember
    mark_price: NumberMember
    shortable_shares: NumberMember
    shortable_fee_rate_percent: NumberMember
    option_open_interest: NumberMember
    percent_of_mark_value: NumberMember
    shortable: TextMember
    morningstar_rating: TextMember
    dividends: NumberMember
    dividends_ttm: NumberMember
    ema_200: NumberMember
    ema_100: NumberMember
    ema_50: NumberMember
    ema_20: NumberMember
    price_to_ema_200_percent: NumberMember
    price_to_ema_100_percent: NumberMember
    price_to_ema_20_percent: NumberMember
    change_since_open: NumberMember
    upcoming_event: TextMember
    upcoming_event_date: TextMember
    upcoming_analyst_meeting: TextMember
    upcoming_earnings: TextMember
    upcoming_misc_event: TextMember
    recent_analyst_meeting: TextMember
    recent_earnings: TextMember
    recent_misc_event: TextMember
    probability_of_max_return: NumberMember
    break_even: TextMember
    spx_delta: NumberMember
    futures_open_interest: NumberMember
    last_yield: NumberMember
    bid_yield: NumberMember
    probability_of_max_return_alt: NumberMember
    probability_of_max_loss: NumberMember
    profit_probability: NumberMember
    organization_type: TextMember
    debt_class: TextMember
    ratings: TextMember
    bond_state_code: TextMember
    bond_type: TextMember
    last_trading_date: TextMember
    issue_date: TextMember
    beta: NumberMember
    ask_yield: NumberMember
    price_to_ema_50_percent: NumberMember
    prior_close: NumberMember
    volume_long: NumberMember
    has_trading_permissions: FlagMember
    stock_type: TextMember
    daily_pnl_raw: NumberMember
    cost_basis_raw: NumberMember
    rebate_rate: NumberMember
    @property
    def availability(self) -> Availability | None:
        """The parsed field 6509, which shows whether the quote is live; None if the message does not contain it."""
    @property
    def is_halted(self) -> bool:
        """Whether the last price has the flag of a halt (`H`)."""
    @property
    def is_prior_close(self) -> bool:
        """Whether the last price is the prior close (`C`), because there was no trade yet."""
    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the catalogue that the message contains, by key."""
    def field(self, name: str | int) -> Any:
        """Return the value of a field by key or code; None without a value.

        The value of a code that the catalogue does not contain is returned as decoded.

        Raises:
            SubscriptionError: no field has this key.
        """
