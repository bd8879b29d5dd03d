"""`spl`, `ssd` and `sld`: profit and loss, account summary and ledger. They need no brokerage session."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .topic_streams import IntervalTimer, Moment, texts
from .wire import payload

_PNL_INTERVAL_S: Final = 1.0
_SUMMARY_INTERVAL_S: Final = 10.0

#: Rows of a full summary: each amount exists for the whole account and per segment.
_AMOUNTS: Final = (
    "AccruedCash", "AccruedDividend", "AvailableFunds", "Billable", "BuyingPower", "Cushion", "EquityWithLoanValue",
    "ExcessLiquidity", "FullAvailableFunds", "FullExcessLiquidity", "FullInitMarginReq", "FullMaintMarginReq",
    "GrossPositionValue", "Guarantee", "IncentiveCoupons", "IndianStockHaircut", "InitMarginReq", "Leverage",
    "LookAheadAvailableFunds", "LookAheadExcessLiquidity", "LookAheadInitMarginReq", "LookAheadMaintMarginReq",
    "MaintMarginReq", "NetLiquidation", "NetLiquidationUncertainty", "PASharesValue", "PhysicalCertificateValue",
    "PostExpirationExcess", "PostExpirationMargin", "PreviousDayEquityWithLoanValue", "RegTEquity", "RegTMargin",
    "TotalCashValue",
)  # fmt: skip
_SEGMENTS: Final = ("", "-C", "-P", "-S")
_CURRENCIES: Final = ("BASE", "USD", "EUR", "CHF", "CAD")


class PnlStream:
    """`spl`: keyed by `<account>.Core`, about once a second."""

    topic = "spl"
    needs_brokerage = False

    def __init__(self, account: str, seed: int) -> None:
        self._account = account
        self._random = Random(f"{seed}/spl")
        self._timer = IntervalTimer(_PNL_INTERVAL_S)
        self._day = float(self._random.randrange(-60_000, 60_000))
        self._liquid = 2.0201311791131118e8

    def first(self, now: Moment) -> list[bytes]:
        """A full row."""
        self._timer.start(now.s)
        return [self._frame()]

    def poll(self, now: Moment) -> list[bytes]:
        """The row again, with new values."""
        if not self._timer.is_due(now.s):
            return []
        change = round(self._random.uniform(-400.0, 400.0), 2)
        self._day = round(self._day + change, 2)
        self._liquid += change
        return [self._frame()]

    def _frame(self) -> bytes:
        row = {
            "rowType": 1,
            "dpl": self._day,
            "nl": self._liquid,
            "upl": 249013.5397937378,
            "el": round(self._liquid / 2),
            "uel": self._liquid / 2,
            "mv": 391710.74028015137,
        }
        return payload({"topic": "spl", "args": {f"{self._account}.Core": row}})


class SummaryStream:
    """`ssd+<account>`: all rows at first (some 135 of them), then those that changed. Times are in seconds."""

    needs_brokerage = False

    def __init__(self, account: str, seed: int, parameters: dict[str, Any]) -> None:
        self.topic = f"ssd+{account}"
        self._account = account
        self._random = Random(f"{seed}/ssd")
        self._keys = frozenset(texts(parameters.get("keys")))
        self._fields = frozenset(texts(parameters.get("fields")))
        self._timer = IntervalTimer(_SUMMARY_INTERVAL_S)

    def first(self, now: Moment) -> list[bytes]:
        """A frame with all requested rows."""
        self._timer.start(now.s)
        rows: list[dict[str, Any]] = [
            {"key": "AccountCode", "value": self._account},
            {"key": "AccountType", "value": "INDIVIDUAL"},
            {"key": "AccountReady", "value": "true"},
        ]
        rows += [self._amount(name + segment) for name in _AMOUNTS for segment in _SEGMENTS]
        return self._frames(rows, now.ms)

    def poll(self, now: Moment) -> list[bytes]:
        """A frame with the few rows that changed."""
        if not self._timer.is_due(now.s):
            return []
        names = self._random.sample(_AMOUNTS, 4)
        return self._frames([self._amount(name + self._random.choice(_SEGMENTS)) for name in names], now.ms)

    def _amount(self, key: str) -> dict[str, Any]:
        return {"key": key, "currency": "USD", "monetaryValue": round(self._random.uniform(0.0, 3e8), 2)}

    def _frames(self, rows: list[dict[str, Any]], now_ms: int) -> list[bytes]:
        wanted = []
        for row in rows:
            if self._keys and row["key"] not in self._keys:
                continue
            members = {
                name: value for name, value in row.items() if name == "key" or not self._fields or name in self._fields
            }
            wanted.append(members | {"severity": 0, "timestamp": now_ms // 1000})
        return [payload({"result": wanted, "topic": self.topic})] if wanted else []


class LedgerStream:
    """`sld+<account>`: a row per currency every 10 s; a currency that did not change is only its key and time."""

    needs_brokerage = False

    def __init__(self, account: str, seed: int, parameters: dict[str, Any]) -> None:
        self.topic = f"sld+{account}"
        self._account = account
        self._random = Random(f"{seed}/sld")
        self._keys = frozenset(texts(parameters.get("keys")))
        # The filter is spelt cashBalance, the member cashbalance.
        self._fields = frozenset(name.lower() for name in texts(parameters.get("fields")))
        self._timer = IntervalTimer(_SUMMARY_INTERVAL_S)

    def first(self, now: Moment) -> list[bytes]:
        """All currencies in full."""
        self._timer.start(now.s)
        return self._frames(frozenset(_CURRENCIES), now.ms)

    def poll(self, now: Moment) -> list[bytes]:
        """One currency in full, the others as key and time."""
        if not self._timer.is_due(now.s):
            return []
        return self._frames(frozenset({self._random.choice(_CURRENCIES)}), now.ms)

    def _frames(self, changed: frozenset[str], now_ms: int) -> list[bytes]:
        rows = []
        for currency in _CURRENCIES:
            key = f"LedgerList{currency}"
            if self._keys and key not in self._keys:
                continue
            row: dict[str, Any] = {"key": key, "timestamp": now_ms // 1000}
            rows.append(self._full(currency, now_ms) if currency in changed else row)
        return [payload({"result": rows, "topic": self.topic})] if rows else []

    def _full(self, currency: str, now_ms: int) -> dict[str, Any]:
        cash = self._random.uniform(1e7, 3e8)
        row: dict[str, Any] = {
            "acctCode": self._account,
            "cashbalance": cash,
            "cashBalanceFXSegment": 0.0,
            "commodityMarketValue": 0.0,
            "corporateBondsMarketValue": 0.0,
            "key": f"LedgerList{currency}",
            "dividends": 0.0,
            "exchangeRate": 1.0,
            "funds": 0.0,
            "marketValue": 0.0,
            "optionMarketValue": 0.0,
            "interest": round(cash / 500.0, 2),
            "netLiquidationValue": cash + 812_345.5,
            "realizedPnl": 0.0,
            "unrealizedPnl": 249013.5397937378,
            "secondKey": currency,
            "settledCash": cash,
            "severity": 0,
            "stockMarketValue": 391710.74028015137,
            "timestamp": now_ms // 1000,
        }
        if not self._fields:
            return row
        always = ("acctCode", "key", "secondKey", "severity", "timestamp")
        return {name: value for name, value in row.items() if name in always or name.lower() in self._fields}
