"""`str`: executions, one per frame. Each is sent again when its commission is known."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from .contracts import contract_of
from .orders import ORDER_CONID
from .topic_streams import IntervalTimer, Moment
from .wire import payload

_PER_DAY: Final = 2
_INTERVAL_S: Final = 2.0
#: Order ids are past 2^40 here, unlike those of `sor`.
_FIRST_ORDER_ID: Final = 1_777_439_171_105


class TradeStream:
    """The executions of one socket: those of the last days, then a new one from time to time."""

    topic = "str"
    needs_brokerage = True

    def __init__(self, account: str, seed: int, parameters: dict[str, Any]) -> None:
        self._account = account
        self._random = Random(f"{seed}/str")
        days = parameters.get("days", 1)
        self._days = days if isinstance(days, int) and 1 <= days <= 7 else 1
        self._has_history = parameters.get("realtimeUpdatesOnly", False) is not True
        self._timer = IntervalTimer(_INTERVAL_S)
        self._count = 0
        self._unsettled: dict[str, Any] | None = None

    def first(self, now: Moment) -> list[bytes]:
        """A frame with empty `args`, then the earlier executions, one per frame and each of them twice."""
        self._timer.start(now.s)
        frames = [payload({"topic": "str", "args": []})]
        if self._has_history:
            past = [self._execution(now.ms - 3_600_000 * (n + 1)) for n in reversed(range(self._days * _PER_DAY))]
            frames += [self._frame(execution) for execution in past]
            frames += [self._frame(self._settled(execution)) for execution in past]
        return frames

    def poll(self, now: Moment) -> list[bytes]:
        """A new execution, or the last one with its commission."""
        if not self._timer.is_due(now.s):
            return []
        if self._unsettled is not None:
            settled, self._unsettled = self._settled(self._unsettled), None
            return [self._frame(settled)]
        self._unsettled = self._execution(now.ms)
        return [self._frame(self._unsettled)]

    def _settled(self, execution: dict[str, Any]) -> dict[str, Any]:
        return execution | {"commission": f"{0.35 + execution['size'] * 0.005:.2f}"}

    @staticmethod
    def _frame(execution: dict[str, Any]) -> bytes:
        return payload({"topic": "str", "args": [execution]})

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
