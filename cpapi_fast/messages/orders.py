"""Messages of orders (`sor`) and executions (`str`)"""

from __future__ import annotations

from .enums import order_status, side
from .member import JsonObject, Message, TextMember
from .member_types import (
    FlagMember,
    FunctionMember,
    IdMember,
    IntegerMember,
    MillisecondsMember,
    NumberMember,
    RowsMember,
)


class OrderUpdate(JsonObject):
    """A change of one order. The first update of an order has all members, and later ones only what changed."""

    __slots__ = ()

    acct = TextMember("acct", "the account")
    account = TextMember("account", "the account, in full updates only")
    order_id = IntegerMember("orderId", "the id of the order")
    conid = IntegerMember("conid", "the contract id; absent from most updates")
    conidex = TextMember("conidex", "the contract id, with the exchange if the order has one")
    status = FunctionMember("status", order_status, "the status")
    order_ccp_status = TextMember("order_ccp_status", "the status at IB's order system, as text")
    side = FunctionMember("side", side, "the side")
    order_type = TextMember("orderType", "the type of the order, such as `Limit`")
    orig_order_type = TextMember("origOrderType", "the type of the order when it was placed, such as `LIMIT`")
    price = NumberMember("price", "the limit price; none for a market order")
    avg_price = NumberMember("avgPrice", "the average price of the fills")
    total_size = NumberMember("totalSize", "the size of the order")
    filled_quantity = NumberMember("filledQuantity", "the filled size")
    remaining_quantity = NumberMember("remainingQuantity", "the size that is not filled")
    size_and_fills = TextMember("sizeAndFills", "filled and total size, as text for display")
    time_in_force = TextMember("timeInForce", "the time in force; `CLOSE` was seen for a DAY order")
    outside_rth = FlagMember("outsideRTH", "whether the order may fill outside of regular trading hours")
    order_desc = TextMember("orderDesc", "a description of the order")
    description1 = TextMember("description1", "a description of the contract")
    description2 = TextMember("description2", "more of the description of the contract")
    ticker = TextMember("ticker", "the ticker symbol")
    company_name = TextMember("companyName", "the name of the company")
    sec_type = TextMember("secType", "the asset class, such as `STK`")
    listing_exchange = TextMember("listingExchange", "the exchange of the listing")
    cash_ccy = TextMember("cashCcy", "the currency")
    last_execution_time_text = TextMember("lastExecutionTime", "the time of the last change as text: `260430123533`")
    last_execution_time = MillisecondsMember("lastExecutionTime_r", "the time of the last change")
    last_execution_time_ms = IntegerMember("lastExecutionTime_r", "the same, in ms since the Unix epoch")
    supports_tax_opt = FlagMember("supportsTaxOpt", "whether the tax optimizer supports it")
    is_event_trading = FlagMember("isEventTrading", "whether the contract is an event contract")
    bg_color = TextMember("bgColor", "a background colour for display")
    fg_color = TextMember("fgColor", "a text colour for display")


class OrdersMessage(Message):
    """Changes of orders (`sor`)."""

    __slots__ = ()

    orders = RowsMember("args", OrderUpdate, "the updates")


class Execution(JsonObject):
    """One execution. It arrives again, with the same `execution_id`, when its commission is known."""

    __slots__ = ()

    execution_id = TextMember("execution_id", "the id of the execution")
    order_id = IntegerMember("order_id", "the id of the order")
    conid = IntegerMember("conid", "the contract id")
    conid_ex = TextMember("conidEx", "the contract id, with the exchange if there is one")
    conidex = TextMember("conidex", "the same under the key of older gateways")
    symbol = TextMember("symbol", "the ticker symbol")
    side = FunctionMember("side", side, "the side")
    size = NumberMember("size", "the executed size")
    price = NumberMember("price", "the price")
    net_amount = NumberMember("net_amount", "size times price times multiplier")
    commission = NumberMember("commission", "the commission; absent until it is known")
    position = NumberMember("position", "the position after the execution")
    trade_time = MillisecondsMember("trade_time_r", "the time of the execution")
    trade_time_ms = IntegerMember("trade_time_r", "the same, in ms since the Unix epoch")
    trade_time_text = TextMember("trade_time", "the same in UTC, as text: `20260429-14:21:18`")
    order_description = TextMember("order_description", "a description of the execution")
    order_ref = TextMember("order_ref", "the reference that the order was given")
    submitter = TextMember("submitter", "the user that placed the order")
    exchange = TextMember("exchange", "the exchange of the execution")
    account = TextMember("account", "the account")
    account_code = TextMember("accountCode", "the account, too")
    account_allocation_name = TextMember("account_allocation_name", "the account that the execution is allocated to")
    company_name = TextMember("company_name", "the name of the company")
    contract_description_1 = TextMember("contract_description_1", "a description of the contract")
    contract_description_2 = TextMember("contract_description_2", "more of the description of the contract")
    sec_type = TextMember("sec_type", "the asset class, such as `STK`")
    listing_exchange = TextMember("listing_exchange", "the exchange of the listing")
    clearing_id = IdMember("clearing_id", "the id of the clearing firm")
    clearing_name = TextMember("clearing_name", "the name of the clearing firm")
    supports_tax_opt = FlagMember("supports_tax_opt", "whether the tax optimizer supports it")
    liquidation_trade = FlagMember("liquidation_trade", "whether IB liquidated the position")
    is_event_trading = FlagMember("is_event_trading", "whether the contract is an event contract")


class ExecutionsMessage(Message):
    """Executions (`str`)."""

    __slots__ = ()

    executions = RowsMember("args", Execution, "the executions; the first message may have none")
