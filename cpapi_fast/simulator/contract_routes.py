"""The REST calls for contracts and snapshots, with the quirks of the gateway."""

from __future__ import annotations

import datetime as dt
import json
import re
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

from .contracts import Contracts, contract_of, info
from .market import InactiveInstrument
from .state import GatewayState, ReceivedRequest

#: A body and its status.
Reply = tuple[Any, int]

_INFO: Final = re.compile(r"/iserver/contract/(\d{1,18})/info", re.ASCII)
_CONID: Final = re.compile(r"\d{1,18}", re.ASCII)
_NO_BRIDGE: Final[Reply] = ({"error": "Bad Request: no bridge", "statusCode": 400}, 400)
#: The regular hours of stocks, in minutes of the day in New York. The simulated market moves at all times, so the
#: extended hours are the whole day.
_LIQUID: Final = (570, 960)
_EXTENDED: Final = (0, 1440)
_ZONE: Final = "America/New_York"
_SCHEDULE_DAYS: Final = 7
_MAX_CONIDS: Final = 100


class ContractRoutes:
    """Replies to requests for contracts and snapshots.

    Args:
        state: the state of the gateway.
    """

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._contracts = Contracts(state.options.conids or ())
        # What was searched for in this session, as the definitions of derivatives require.
        self._searched: set[str] = set()
        # The quotes that an earlier snapshot has started: conid and code.
        self._started: set[tuple[int, str]] = set()
        self._replies: Final[dict[str, Callable[[ReceivedRequest], Reply]]] = {
            "/iserver/secdef/search": self._search,
            "/iserver/secdef/info": self._definition,
            "/iserver/currency/pairs": self._pairs,
            "/iserver/marketdata/snapshot": self._snapshot,
            "/trsrv/stocks": self._stocks,
            "/trsrv/futures": self._futures,
            "/contract/trading-schedule": self._schedule,
        }

    def reply(self, received: ReceivedRequest, path: str) -> Reply | None:
        """The body and the status of a reply; None for a path that is none of these."""
        is_search = path == "/iserver/secdef/search"
        if received.method != "GET" and not (is_search and received.method == "POST"):
            return None
        match = _INFO.fullmatch(path)
        found = self._replies.get(path)
        if match is None and found is None:
            return None
        # Only these two need no brokerage session.
        if path.startswith("/iserver/") and not self._state.session.is_authenticated:
            return _NO_BRIDGE
        if match is not None:
            return self._info(int(match[1]))
        return None if found is None else found(received)

    def _search(self, received: ReceivedRequest) -> Reply:
        given: dict[str, Any] = dict(received.query)
        if received.method == "POST":
            try:
                body = json.loads(received.body)
            except ValueError:
                body = None
            given |= body if isinstance(body, dict) else {}
        text = str(given.get("symbol") or "")
        if not text:
            return {"error": "Bad Request: symbol is required", "statusCode": 400}, 400
        by_name = given.get("name") in (True, "true")
        found = self._contracts.matches(text, by_name=by_name, sec_type=given.get("secType"))
        self._searched |= {match["conid"] for match in found}
        # An error with status 200.
        return (found, 200) if found else ({"error": "No symbol found"}, 200)

    def _definition(self, received: ReceivedRequest) -> Reply:
        conid = received.query.get("conid", "")
        if conid not in self._searched:
            return {"error": "Bad Request: please search for the underlying first", "statusCode": 500}, 500
        underlying = contract_of(int(conid))
        futures = self._contracts.futures(underlying.symbol) if received.query.get("sectype") == "FUT" else []
        return [info(contract_of(future["conid"])) for future in futures], 200

    def _stocks(self, received: ReceivedRequest) -> Reply:
        return self._by_symbol(received, self._contracts.stocks)

    def _futures(self, received: ReceivedRequest) -> Reply:
        return self._by_symbol(received, self._contracts.futures)

    def _by_symbol(self, received: ReceivedRequest, find: Callable[[str], list[Any]]) -> Reply:
        symbols = [symbol for symbol in received.query.get("symbols", "").split(",") if symbol]
        if not symbols:
            return {"error": "Bad Request: symbols is required", "statusCode": 400}, 400
        # An unknown symbol has an empty array.
        return {symbol: find(symbol) for symbol in symbols}, 200

    def _pairs(self, received: ReceivedRequest) -> Reply:
        currency = received.query.get("currency", "")
        found = self._contracts.pairs(currency)
        return ({currency: found}, 200) if found else ({"error": "Invalid currency"}, 200)

    def _is_unknown(self, conid: int) -> bool:
        return conid in self._state.options.inactive_conids

    def _info(self, conid: int) -> Reply:
        if self._is_unknown(conid):
            return {"error": "Contract not found", "statusCode": 404}, 404
        return info(contract_of(conid)), 200

    def _schedule(self, received: ReceivedRequest) -> Reply:
        conid = received.query.get("conid", "")
        if _CONID.fullmatch(conid) is None or self._is_unknown(int(conid)):
            return {"error": "Contract not found"}, 200
        zone = zoneinfo.ZoneInfo(_ZONE)
        today = dt.datetime.fromtimestamp(self._state.clock.time_ns() / 1e9, zone).date()
        days = {}
        for offset in range(-1, _SCHEDULE_DAYS):
            day = today + dt.timedelta(days=offset)
            extended = _hours(day, zone, _EXTENDED) | {"cancel_daily_orders": True}
            # Without regular hours on a weekend.
            liquid = [_hours(day, zone, _LIQUID)] if day.weekday() < 5 else []
            days[day.strftime("%Y%m%d")] = {"liquid_hours": liquid, "extended_hours": [extended]}
        return {"exchange_time_zone": _ZONE, "schedules": days}, 200

    def _snapshot(self, received: ReceivedRequest) -> Reply:
        state = self._state
        if not state.session.has_read_accounts:
            return {"error": "Please query /accounts first", "statusCode": 400}, 400
        conids = received.query.get("conids", "").split(",")
        codes = [code for code in received.query.get("fields", "").split(",") if code]
        if len(conids) > _MAX_CONIDS or not all(map(_CONID.fullmatch, conids)):
            return {"error": "Bad Request: invalid conids", "statusCode": 400}, 400
        return [self._row(int(conid), codes) for conid in conids], 200

    def _row(self, conid: int, codes: list[str]) -> dict[str, Any]:
        row: dict[str, Any] = {"conid": conid, "conidEx": str(conid)}
        instrument = self._state.market.instrument(str(conid))
        if instrument is None:
            return row
        server_id = f"q{conid % 97}"
        row |= {"server_id": server_id, "6119": server_id, "_updated": self._state.clock.time_ns() // 1_000_000}
        if not isinstance(instrument, InactiveInstrument):
            row["6509"] = instrument.availability
        for code in codes:
            # The first request for a field only starts it.
            if (conid, code) in self._started:
                text = instrument.text(code)
                if text is not None:
                    row[code] = json.loads(text)
            self._started.add((conid, code))
        return row


def _hours(day: dt.date, zone: dt.tzinfo, minutes: tuple[int, int]) -> dict[str, Any]:
    # Python adds hours of the clock on the wall, so that a day with a change of the time zone ends at midnight too.
    midnight = dt.datetime(day.year, day.month, day.day, tzinfo=zone)
    opening, closing = ((midnight + dt.timedelta(minutes=minute)).timestamp() for minute in minutes)
    return {"opening": int(opening), "closing": int(closing)}
