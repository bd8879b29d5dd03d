"""The client of ibind 0.2.2, unmodified, against the port in argv[1]. Run in a process of its own: it blocks, hooks
signals and writes logs.

Prints one line of JSON: what each step gave.
"""

from __future__ import annotations

import json
import sys
import time

from ibind import CallbackSink, IbkrClient, IbkrWsClient, events
from ibind.ibkr_ws.ibkr_subscriptions import MarketDataSubscription

CONID = "265598"
FIELDS = ["31", "84", "86", "85", "88", "87", "83"]
PATIENCE_S = 30.0


def wait_for_more(quotes: list[dict[str, object]]) -> bool:
    count, deadline_s = len(quotes), time.monotonic() + PATIENCE_S
    while len(quotes) == count and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return len(quotes) > count


def main(port: str, ca_file: str) -> None:
    seen: dict[str, object] = {}
    quotes: list[dict[str, object]] = []
    sink = CallbackSink()
    sink.on(events.MarketData, lambda event: quotes.append({"conid": event.conid, "data": event.data}))

    rest = IbkrClient(account_id="DU1234567", host="127.0.0.1", port=port, cacert=ca_file)
    seen["same_session"] = rest.tickle().data["session"] == rest.tickle().data["session"]
    seen["authenticated"] = rest.authentication_status().data["authenticated"]

    seen["conids"] = rest.stock_conid_by_symbol(["AAPL", "IBM"]).data
    seen["snapshot"] = rest.live_marketdata_snapshot_by_symbol(["AAPL"], ["55", "84"])
    futures = rest.security_future_by_symbol(["ES"]).data["ES"]
    seen["local_symbol"] = rest.contract_information_by_conid(str(futures[0]["conid"])).data["local_symbol"]
    seen["pairs"] = [pair["symbol"] for pair in rest.currency_pairs("JPY").data["JPY"]]
    seen["matches"] = [match["conid"] for match in rest.search_contract_by_symbol("ES").data]

    ws = IbkrWsClient(account_id="DU1234567", host="127.0.0.1", port=port, ibkr_client=rest, cacert=ca_file, sink=sink)
    seen["started"] = ws.start()
    handle = ws.subscribe(MarketDataSubscription(conid=CONID, fields=FIELDS))
    seen["subscribed"] = handle.wait(PATIENCE_S)
    deadline_s = time.monotonic() + PATIENCE_S
    while len(quotes) < 4 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    seen["tic_alive"] = (ws.tic() or {}).get("alive")
    # Longer than one PING interval of ibind, its limit for the PONG, and one heartbeat.
    time.sleep(21.0)
    seen["still_ready"] = ws.is_ready() and ws.is_authenticated()
    seen["state"] = str(ws.get_state())
    seen["fresh_quote"] = wait_for_more(quotes)
    seen["unsubscribed"] = ws.unsubscribe(MarketDataSubscription(conid=CONID, fields=FIELDS)).wait(PATIENCE_S)
    # The outcome is not looked at: websocket-client may sit in a select() on the socket that it closed itself.
    ws.shutdown()
    seen["quotes"] = quotes[:4]
    seen["count"] = len(quotes)
    sys.stdout.write(json.dumps(seen) + "\n")


main(*sys.argv[1:])
