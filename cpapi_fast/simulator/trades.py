"""`str`: executions, one per frame. Each is sent again when its commission is known."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from .contracts import contract_of
from .orders import ORDER_CONID
from .topic_streams import IntervalTimer, Moment, RecordLog
from .wire import payload

_MAX_DAYS: Final = 7
_PER_DAY: Final = 2
_MOST_KEPT: Final = 1_000
_INTERVAL_S: Final = 2.0
#: Order ids are past 2^40 here, unlike those of `sor`.
_FIRST_ORDER_ID: Final = 1_777_439_171_105


class TradeBook:
    """The executions of the account, which all sockets of a gateway see, and their past."""

    def __init__(self, account: str, seed: int) -> None:
        self._account = account
        self._random = Random(f"{seed}/str")
        self._timer = IntervalTimer(_INTERVAL_S)
        self._count = 0
        self._unsettled: dict[str, Any] | None = None
        #: By id: the last executions of the account, the earliest first.
        self._executions: dict[str, dict[str, Any]] = {}
        #: Every new execution, and again with its commission.
        self.log = RecordLog()

    def start(self, now: Moment) -> None:
        """Begin to trade, or begin again after a pause."""
        if not self._executions:
            for number in reversed(range(_MAX_DAYS * _PER_DAY)):
                self._keep(self._settled(self._execution(now.ms - 3_600_000 * (number + 1))))
        self._timer.start(now.s)

    def advance(self, now: Moment) -> None:
        """Add a new execution if it is due, or the last one with its commission."""
        if self._timer.is_due(now.s):
            if self._unsettled is None:
                execution = self._unsettled = self._execution(now.ms)
            else:
                execution, self._unsettled = self._settled(self._unsettled), None
            self._keep(execution)
            self.log.append(execution)

    def history(self, days: int) -> list[dict[str, Any]]:
        """The executions of the last days, the earliest first."""
        known = list(self._executions.values())
        return known[max(0, (_MAX_DAYS - days) * _PER_DAY - max(0, self._count - len(known))) :]

    def _keep(self, execution: dict[str, Any]) -> None:
        self._executions[execution["execution_id"]] = execution
        if len(self._executions) > _MOST_KEPT:
            del self._executions[next(iter(self._executions))]

    def _settled(self, execution: dict[str, Any]) -> dict[str, Any]:
        return execution | {"commission": f"{0.35 + execution['size'] * 0.005:.2f}"}

    def _execution(self, time_ms: int) -> dict[str, Any]:
        self._count += 1
        time_ms -= time_ms % 1000
        size = self._random.randrange(1, 200)
        price = self._random.randrange(10_000, 30_000) / 100
        side = self._random.choice("BS")
        contract = contract_of(ORDER_CONID)
        symbol, company = contract.symbol, contract.name
        execution: dict[str, Any] = {
            "execution_id": f"0000e0d5.{self._count:08x}.01.01",
            "symbol": symbol,
            "supports_tax_opt": "1",
            "side": side,
            "order_description": f"{'Bot' if side == 'B' else 'Sold'} {size} @ {price:.2f} on ISLAND",
            "trade_time": datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y%m%d-%H:%M:%S"),
            "trade_time_r": time_ms,
            "size": float(size),
            "price": f"{price:.2f}",
            "submitter": "user1234",
            "exchange": "ISLAND",
            "net_amount": round(size * price, 2),
            "account": self._account,
            "accountCode": self._account,
            "company_name": company,
            "contract_description_1": symbol,
            "sec_type": "STK",
            "listing_exchange": "NASDAQ.NMS",
            "conid": ORDER_CONID,
            "conidEx": str(ORDER_CONID),
            "clearing_id": "IB",
            "clearing_name": "IB",
            "liquidation_trade": "0",
            "is_event_trading": "0",
            "order_id": _FIRST_ORDER_ID + self._count,
        }
        if self._count % 2:
            execution["position"] = str(size)
        return execution


class TradeStream:
    """The executions of one socket: those of the last days, then a new one from time to time."""

    topic = "str"
    needs_brokerage = True

    def __init__(self, book: TradeBook, parameters: dict[str, Any]) -> None:
        self._book = book
        days = parameters.get("days", 1)
        self._days = days if isinstance(days, int) and 1 <= days <= _MAX_DAYS else 1
        self._has_history = parameters.get("realtimeUpdatesOnly", False) is not True
        self._position = book.log.end

    def first(self, now: Moment) -> list[bytes]:
        """A frame with empty `args`, then the earlier executions, one per frame, and again with their commissions."""
        self._book.start(now)
        frames = [payload({"topic": "str", "args": []})]
        if self._has_history:
            past = self._book.history(self._days)
            frames += [
                self._frame({name: value for name, value in execution.items() if name != "commission"})
                for execution in past
            ]
            frames += [self._frame(execution) for execution in past if "commission" in execution]
        return frames

    def poll(self, now: Moment) -> list[bytes]:
        """The executions since the last call, new or with their commission."""
        self._book.advance(now)
        executions, self._position = self._book.log.since(self._position)
        return [self._frame(execution) for execution in executions]

    @staticmethod
    def _frame(execution: dict[str, Any]) -> bytes:
        return payload({"topic": "str", "args": [execution]})
