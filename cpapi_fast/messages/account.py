"""Messages of accounts: profit and loss (`spl`), account summary (`ssd`) and ledger (`sld`)"""

from __future__ import annotations

from .member import JsonObject, Message, TextMember
from .member_types import IntegerMember, NamedRow, NumberMember, RowsMember, SecondsMember


class PnlRow(NamedRow):
    """The profit and loss of one account or part of one. Every member may be missing."""

    __slots__ = ()

    row_type = IntegerMember("rowType", "the type of the row")
    dpl = NumberMember("dpl", "the profit or loss of the day")
    upl = NumberMember("upl", "the unrealized profit or loss")
    nl = NumberMember("nl", "the net liquidation value")
    el = NumberMember("el", "the excess liquidity")
    uel = NumberMember("uel", "the excess liquidity before rounding")
    mv = NumberMember("mv", "the market value of the positions")

    @property
    def account(self) -> str:
        """The account: the name of the row up to its first point (`U1234567.Core`)."""
        return self.name.partition(".")[0]


class PnlMessage(Message):
    """Profit and loss (`spl`)."""

    __slots__ = ()

    rows = RowsMember("args", PnlRow, "one row per account and part of it", by_name=True)


class SummaryRow(JsonObject):
    """One value of the account summary."""

    __slots__ = ()

    key = TextMember("key", "which value it is, such as `AccruedCash-S`")
    currency = TextMember("currency", "the currency of the amount")
    monetary_value = NumberMember("monetaryValue", "the value of an amount")
    value = TextMember("value", "the value of anything else")
    severity = IntegerMember("severity", "a number that IB does not document")
    timestamp = SecondsMember("timestamp", "the time of the value")
    timestamp_s = IntegerMember("timestamp", "the same, in seconds since the Unix epoch")


class SummaryMessage(Message):
    """Values of the account summary (`ssd`). The target of the topic is the account."""

    __slots__ = ()

    rows = RowsMember("result", SummaryRow, "the values")


class LedgerRow(JsonObject):
    """The balances in one currency. A currency without a change has only key and timestamp."""

    __slots__ = ()

    key = TextMember("key", "which balances they are, such as `LedgerListUSD`")
    second_key = TextMember("secondKey", "the currency, or `BASE`")
    acct_code = TextMember("acctCode", "the account")
    cash_balance = NumberMember("cashbalance", "the cash balance")
    cash_balance_fx_segment = NumberMember("cashBalanceFXSegment", "the cash balance of the FX segment")
    settled_cash = NumberMember("settledCash", "the settled cash")
    exchange_rate = NumberMember("exchangeRate", "the exchange rate to the base currency")
    interest = NumberMember("interest", "the accrued interest")
    dividends = NumberMember("dividends", "the accrued dividends")
    funds = NumberMember("funds", "the value of funds")
    money_funds = NumberMember("moneyFunds", "the value of money market funds")
    market_value = NumberMember("marketValue", "the market value of the positions")
    stock_market_value = NumberMember("stockMarketValue", "the market value of stocks")
    option_market_value = NumberMember("optionMarketValue", "the market value of options")
    issue_options_market_value = NumberMember("issueOptionsMarketValue", "the market value of issued options")
    warrants_market_value = NumberMember("warrantsMarketValue", "the market value of warrants")
    commodity_market_value = NumberMember("commodityMarketValue", "the market value of commodities")
    corporate_bonds_market_value = NumberMember("corporateBondsMarketValue", "the market value of corporate bonds")
    t_bills_market_value = NumberMember("tBillsMarketValue", "the market value of treasury bills")
    t_bonds_market_value = NumberMember("tBondsMarketValue", "the market value of treasury bonds")
    net_liquidation_value = NumberMember("netLiquidationValue", "the net liquidation value")
    realized_pnl = NumberMember("realizedPnl", "the realized profit or loss")
    unrealized_pnl = NumberMember("unrealizedPnl", "the unrealized profit or loss")
    severity = IntegerMember("severity", "a number that IB does not document")
    timestamp = SecondsMember("timestamp", "the time of the balances")
    timestamp_s = IntegerMember("timestamp", "the same, in seconds since the Unix epoch")


class LedgerMessage(Message):
    """Balances by currency (`sld`). The target of the topic is the account."""

    __slots__ = ()

    rows = RowsMember("result", LedgerRow, "one row per currency")
