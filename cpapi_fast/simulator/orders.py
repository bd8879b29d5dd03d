"""`sor`: the states of an order, as one full record and sparse deltas."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .contracts import contract_of
from .topic_streams import IntervalTimer, Moment, RecordLog, texts
from .wire import payload

#: The recorded states of one order: the members of each frame after the full record, besides `acct` and `orderId`.
_STATES: Final[tuple[dict[str, Any], ...]] = (
    {"isEventTrading": "0"},
    {"status": "PendingSubmit", "fgColor": "#3399CC"},
    {"status": "PreSubmitted", "bgColor": "#FFFFFF", "fgColor": "#997EE5"},
    {"status": "Submitted", "order_ccp_status": "Submitted", "bgColor": "#000000", "fgColor": "#00F000"},
)
_CANCELLED: Final = {
    "status": "Cancelled",
    "order_ccp_status": "Cancelled",
    "bgColor": "#FFFFFF",
    "fgColor": "#AA0000",
}
#: The instrument of every order and execution.
ORDER_CONID: Final = 265598
#: Seconds between two frames of an order.
_STEP_S: Final = 1.0
_MOST_KEPT: Final = 1_000


class OrderBook:
    """The orders of the account, which all sockets of a gateway see: one after the other is placed and then closed."""

    def __init__(self, account: str, seed: int) -> None:
        self._account = account
        self._random = Random(f"{seed}/sor")
        self._timer = IntervalTimer(_STEP_S)
        self._order_id = 900_000_000 + self._random.randrange(50_000_000)
        self._script: list[dict[str, Any]] = []
        #: The records of all orders.
        self.log = RecordLog()
        #: By id: the last orders, merged from their records.
        self._orders: dict[int, dict[str, Any]] = {}

    def start(self, now: Moment) -> None:
        """Begin to trade, or begin again after a pause: an order continues where it was."""
        self._timer.start(now.s)

    def advance(self, now: Moment) -> None:
        """Add the next record if it is due."""
        if self._timer.is_due(now.s):
            if not self._script:
                self._script = self._place(now.ms)
            record = self._script.pop(0)
            self._orders.setdefault(record["orderId"], {}).update(record)
            if len(self._orders) > _MOST_KEPT:
                del self._orders[next(iter(self._orders))]
            self.log.append(record)

    def all_orders(self) -> list[dict[str, Any]]:
        """The last orders, as REST returns them: working ones, and those that have ended."""
        return list(self._orders.values())

    def _place(self, now_ms: int) -> list[dict[str, Any]]:
        self._order_id += self._random.randrange(1, 9)
        size = float(self._random.randrange(1, 10))
        full = self._full_record(size, now_ms)
        identity = {"acct": self._account, "orderId": self._order_id}
        with_contract = {
            "acct": self._account,
            "conidex": str(ORDER_CONID),
            "conid": ORDER_CONID,
            "orderId": self._order_id,
        }
        script = [full, with_contract | _STATES[0], *(identity | step for step in _STATES[1:])]
        if self._random.random() < 0.5:
            closing = {"status": "PendingCancel", "order_ccp_status": "Submitted", "fgColor": "#FF64FF"}
            return [*script, full | closing, identity | _CANCELLED]
        filled = {
            "sizeAndFills": f"{size:.0f}",
            "orderDesc": f"Bought {size:.0f} Limit 1.00, Day",
            "remainingQuantity": 0.0,
            "filledQuantity": size,
            "avgPrice": "1.00",
            "status": "Filled",
            "order_ccp_status": "Filled",
            "bgColor": "#FFFFFF",
            "fgColor": "#000000",
        }
        return [*script, identity | filled]

    def _full_record(self, size: float, now_ms: int) -> dict[str, Any]:
        contract = contract_of(ORDER_CONID)
        symbol, company = contract.symbol, contract.name
        return {
            "acct": self._account,
            "conidex": str(ORDER_CONID),
            "conid": ORDER_CONID,
            "account": self._account,
            "orderId": self._order_id,
            "cashCcy": "USD",
            "sizeAndFills": f"0/{size:.0f}",
            "orderDesc": f"Buy {size:.0f} Limit 1.00, Day",
            "description1": symbol,
            "ticker": symbol,
            "secType": "STK",
            "listingExchange": "NASDAQ.NMS",
            "remainingQuantity": size,
            "filledQuantity": 0.0,
            "totalSize": size,
            "companyName": company,
            "status": "Inactive",
            "order_ccp_status": "Pending Submit",
            "outsideRTH": False,
            "origOrderType": "LIMIT",
            "supportsTaxOpt": "1",
            "lastExecutionTime": "260430123533",
            "orderType": "Limit",
            "bgColor": "#000000",
            "fgColor": "#AFAFAF",
            "isEventTrading": "0",
            "price": "1.00",
            # As recorded for a DAY order.
            "timeInForce": "CLOSE",
            "lastExecutionTime_r": now_ms - now_ms % 1000,
            "side": "BUY",
        }


class OrderStream:
    """The live orders of one socket."""

    topic = "sor"
    needs_brokerage = True

    def __init__(self, book: OrderBook, parameters: dict[str, Any]) -> None:
        self._book = book
        self._statuses = frozenset(texts(parameters.get("filters")))
        self._position = book.log.end

    def first(self, now: Moment) -> list[bytes]:
        """No frame: `sor` sends only updates. Clients get earlier orders over REST."""
        self._book.start(now)
        return []

    def poll(self, now: Moment) -> list[bytes]:
        """The records since the last call."""
        self._book.advance(now)
        records, self._position = self._book.log.since(self._position)
        return [payload({"topic": "sor", "args": [record]}) for record in records if self._is_wanted(record)]

    def _is_wanted(self, record: dict[str, Any]) -> bool:
        status = record.get("status")
        return not self._statuses or status is None or status in self._statuses
