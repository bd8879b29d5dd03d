"""Messages of market data (`smd`): one attribute per field of the catalogue."""

cimport cython

from .member cimport Message

import functools

from cpapi_fast.protocol.availability import Availability
from cpapi_fast.protocol.fields import FIELDS as _FIELDS
from cpapi_fast.protocol.fields import field_code
from cpapi_fast.protocol.numbers import number_prefix

from .enums import option_right
from .member import TextMember
from .member_types import FlagMember, FunctionMember, IntegerMember, MillisecondsMember, NumberMember


@cython.no_gc
cdef class MarketDataMessage(Message):
    """Fields of one instrument (`smd`). After the first snapshot, a message has only what changed.

    Each field of the catalogue is an attribute with the name of its key. Three names differ: `week_52_high`,
    `week_52_low`, and `contract_conid` for 6008, because `conid` is that of the message. Codes that the catalogue does
    not contain are in `extras`.
    """

    conid = IntegerMember("conid", "the contract id; several subscriptions may have the same one")
    conid_ex = TextMember("conidEx", "the instrument as it was subscribed, such as `265598@NYSE`")
    server_id = TextMember("server_id", "the id of the stream at the gateway; not stable across subscribes")
    updated = MillisecondsMember("_updated", "the event time")
    updated_ms = IntegerMember("_updated", "the same, in ms since the Unix epoch")

    # The numbers behind texts in short form.
    daily_pnl_number = NumberMember("78_raw", "78 as a number")
    volume_number = NumberMember("87_raw", "87 as a number")
    average_volume_90_number = NumberMember("7282_raw", "7282 as a number")
    cost_basis_number = NumberMember("7292_raw", "7292 as a number")

    # The fields of the catalogue, in the order of their codes.
    last_price = NumberMember("31")
    symbol = TextMember("55")
    text = TextMember("58")
    high = NumberMember("70")
    low = NumberMember("71")
    market_value = NumberMember("73")
    avg_price = NumberMember("74")
    unrealized_pnl = NumberMember("75")
    formatted_position = TextMember("76")
    formatted_unrealized_pnl = TextMember("77")
    daily_pnl = NumberMember("78")
    realized_pnl = NumberMember("79")
    unrealized_pnl_percent = NumberMember("80")
    change = NumberMember("82")
    change_percent = NumberMember("83")
    bid_price = NumberMember("84")
    ask_size = NumberMember("85")
    ask_price = NumberMember("86")
    volume = NumberMember("87")
    bid_size = NumberMember("88")
    right = FunctionMember("201", option_right)
    exchange = TextMember("6004")
    contract_conid = IntegerMember("6008")
    sec_type = TextMember("6070")
    months = TextMember("6072")
    regular_expiry = TextMember("6073")
    market_data_marker = TextMember("6119")
    underlying_conid = IntegerMember("6457")
    service_params = TextMember("6508")
    market_data_availability = TextMember("6509")
    company_name = TextMember("7051")
    ask_codes = TextMember("7057")
    last_exch_codes = TextMember("7058")
    last_size = NumberMember("7059")
    bid_codes = TextMember("7068")
    implied_vol_hist_vol_percent = NumberMember("7084")
    put_call_interest = NumberMember("7085")
    put_call_volume = NumberMember("7086")
    hist_vol_percent = NumberMember("7087")
    hist_vol_close_percent = NumberMember("7088")
    opt_volume = NumberMember("7089")
    conid_exchange = TextMember("7094")
    can_be_traded = FlagMember("7184")
    contract_description = TextMember("7219")
    contract_description_alt = TextMember("7220")
    listing_exchange = TextMember("7221")
    industry = TextMember("7280")
    category = TextMember("7281")
    average_volume_90 = NumberMember("7282")
    option_implied_vol_percent = NumberMember("7283")
    hist_vol_deprecated = NumberMember("7284")
    put_call_ratio = NumberMember("7285")
    dividend_amount = NumberMember("7286")
    dividend_yield_percent = NumberMember("7287")
    ex_date_dividend = TextMember("7288")
    market_cap = NumberMember("7289")
    p_e = NumberMember("7290")
    eps = NumberMember("7291")
    cost_basis = NumberMember("7292")
    week_52_high = NumberMember("7293")
    week_52_low = NumberMember("7294")
    open = NumberMember("7295")
    close = NumberMember("7296")
    delta = NumberMember("7308")
    gamma = NumberMember("7309")
    theta = NumberMember("7310")
    vega = NumberMember("7311")
    opt_volume_change_percent = NumberMember("7607")
    implied_vol_percent = NumberMember("7633")
    mark_price = NumberMember("7635")
    shortable_shares = NumberMember("7636")
    shortable_fee_rate_percent = NumberMember("7637")
    option_open_interest = NumberMember("7638")
    percent_of_mark_value = NumberMember("7639")
    shortable = TextMember("7644")
    morningstar_rating = TextMember("7655")
    dividends = NumberMember("7671")
    dividends_ttm = NumberMember("7672")
    ema_200 = NumberMember("7674")
    ema_100 = NumberMember("7675")
    ema_50 = NumberMember("7676")
    ema_20 = NumberMember("7677")
    price_to_ema_200_percent = NumberMember("7678")
    price_to_ema_100_percent = NumberMember("7679")
    price_to_ema_20_percent = NumberMember("7681")
    change_since_open = NumberMember("7682")
    upcoming_event = TextMember("7683")
    upcoming_event_date = TextMember("7684")
    upcoming_analyst_meeting = TextMember("7685")
    upcoming_earnings = TextMember("7686")
    upcoming_misc_event = TextMember("7687")
    recent_analyst_meeting = TextMember("7688")
    recent_earnings = TextMember("7689")
    recent_misc_event = TextMember("7690")
    probability_of_max_return = NumberMember("7694")
    break_even = TextMember("7695")
    spx_delta = NumberMember("7696")
    futures_open_interest = NumberMember("7697")
    last_yield = NumberMember("7698")
    bid_yield = NumberMember("7699")
    probability_of_max_return_alt = NumberMember("7700")
    probability_of_max_loss = NumberMember("7702")
    profit_probability = NumberMember("7703")
    organization_type = TextMember("7704")
    debt_class = TextMember("7705")
    ratings = TextMember("7706")
    bond_state_code = TextMember("7707")
    bond_type = TextMember("7708")
    last_trading_date = TextMember("7714")
    issue_date = TextMember("7715")
    beta = NumberMember("7718")
    ask_yield = NumberMember("7720")
    price_to_ema_50_percent = NumberMember("7724")
    prior_close = NumberMember("7741")
    volume_long = NumberMember("7762")
    has_trading_permissions = FlagMember("7768")
    stock_type = TextMember("7899")
    daily_pnl_raw = NumberMember("7920")
    cost_basis_raw = NumberMember("7921")
    rebate_rate = NumberMember("7943")

    @property
    def availability(self):
        """The parsed field 6509, which shows whether the quote is live; None if the message does not contain it."""
        letters = self.market_data_availability
        return Availability.parse(letters) if letters else None

    @property
    def is_halted(self):
        """Whether the last price has the flag of a halt (`H`)."""
        return number_prefix(self.raw.get("31")) == "H"

    @property
    def is_prior_close(self):
        """Whether the last price is the prior close (`C`), because there was no trade yet."""
        return number_prefix(self.raw.get("31")) == "C"

    @property
    def fields(self):
        """The fields of the catalogue that the message contains, by key."""
        return {_FIELDS[code].key: self.field(code) for code in self.raw if code in _FIELDS}

    def field(self, name):
        """Return the value of a field by key or code; None without a value.

        The value of a code that the catalogue does not contain is returned as decoded.

        Raises:
            SubscriptionError: no field has this key.
        """
        code = field_code(name)
        member = _by_code().get(code)
        return self.raw.get(code) if member is None else member.__get__(self, type(self))


@functools.cache
def _by_code():
    return {member.key: member for member in MarketDataMessage.members().values()}
