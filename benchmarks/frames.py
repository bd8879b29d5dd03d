"""Generates every kind of frame that a gateway sends, in the documented shapes, with values from a seeded `Random`.

`docs/explanation/benchmarks.md` explains the shapes and their shares. No frame is recorded data.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

Maker = Callable[[random.Random], bytes]

ACCOUNT: Final = "U1234567"
SESSION: Final = "0123456789abcdef0123456789abcdef"

#: Fields of a full snapshot with text of a few bytes, in no particular order.
WIDE_FIELDS: Final = (
    *("55", "70", "71", "73", "74", "75", "76", "77", "78", "79", "80", "82", "87", "201", "6004", "6070", "6072"),
    *("7051", "7057", "7058", "7059", "7068", "7084", "7085", "7086", "7087", "7088", "7089", "7094", "7184", "7219"),
    *("7220", "7221", "7280", "7281", "7282", "7283", "7285", "7289", "7290", "7291", "7292", "7293", "7294", "7295"),
    *("7296", "7308", "7309", "7310", "7311", "7607", "7633", "7635", "7636", "7637", "7638", "7639", "7644", "7671"),
    *("7672", "7674", "7675", "7676", "7677", "7678", "7679", "7681", "7682", "7683", "7684", "7714", "7741", "7762"),
)


#: The subscribed instruments: the default number of market data lines of an account.
CONIDS: Final = tuple(random.Random(151).sample(range(100_000, 1_000_000), 100))


#: An event time, which a sender can replace by the time of sending.
EVENT_MS: Final = 1_777_552_119_103


def text_of(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def conid(rng: random.Random) -> int:
    return rng.choice(CONIDS)


def moment_ms(rng: random.Random) -> int:
    return 1_777_552_119_103 + rng.randrange(100_000) * 500


def price(rng: random.Random) -> str:
    return f"{rng.randrange(1_000, 99_999) / 100:.2f}"


def size(rng: random.Random) -> str:
    return f"{rng.choice((1, 2, 5, 100, 200, 700, 1_300, 12_500, 1_250_000)) * rng.randrange(1, 9):,}"


def envelope(contract: int, rng: random.Random) -> dict[str, Any]:
    server_id = f"q{rng.randrange(10, 100)}"
    ids = {"server_id": server_id, "conidEx": str(contract), "conid": contract}
    return ids | {"_updated": moment_ms(rng), "6119": server_id}


def smd_151(rng: random.Random) -> bytes:
    """Return a delta of exactly 151 bytes: two prices, and a size that fills the rest."""
    contract = conid(rng)
    members = envelope(contract, rng)
    first, second = rng.choice((("84", "31"), ("84", "86"), ("31", "86"), ("86", "31")))
    members |= {first: price(rng), second: price(rng), rng.choice(("85", "88")): "", "topic": f"smd+{contract}"}
    digits = 151 - len(text_of(members))
    for code in ("85", "88"):
        if code in members:
            members[code] = str(rng.randrange(10 ** (digits - 1), 10**digits))
    return text_of(members)


def market(rng: random.Random, count: int) -> list[bytes]:
    """Return deltas of all instruments, whose prices are random walks, so that files compress as in a real market.

    All have the same event time, `EVENT_MS`.
    """
    mids = {contract: rng.randrange(1_000, 50_000) for contract in CONIDS}
    volumes = dict.fromkeys(CONIDS, 0)
    made = []
    for _ in range(count):
        contract = conid(rng)
        mids[contract] = mid = max(100, mids[contract] + rng.choice((-2, -1, -1, 0, 0, 0, 1, 1, 2)))
        lots = rng.randrange(1, 9) * 100
        volumes[contract] += lots
        server_id = f"q{CONIDS.index(contract)}"
        members: dict[str, Any] = {"server_id": server_id, "conidEx": str(contract), "conid": contract}
        members |= {"_updated": EVENT_MS, "6119": server_id}
        quote = {
            "84": f"{(mid - 1) / 100:.2f}",
            "86": f"{(mid + 1) / 100:.2f}",
            "85": f"{lots:,}",
            "88": f"{lots * 2:,}",
        }
        quote |= {"31": f"{(mid + rng.choice((-1, 1))) / 100:.2f}", "87": f"{volumes[contract]:,}"}
        members |= {code: quote[code] for code in rng.sample(list(quote), rng.choice((2, 3, 3, 4)))}
        made.append(text_of(members | {"topic": f"smd+{contract}"}))
    return made


def smd_wide(rng: random.Random, length: int) -> bytes:
    """Return a delta of exactly `length` bytes with all `WIDE_FIELDS`; free text (58) fills the rest."""
    contract = conid(rng)
    members = envelope(contract, rng) | {"58": "", "84": price(rng), "31": price(rng), "86": price(rng)}
    members |= {"85": size(rng), "88": size(rng)} | {code: price(rng) for code in WIDE_FIELDS}
    members |= {"topic": f"smd+{contract}"}
    members["58"] = "x" * (length - len(text_of(members)))
    return text_of(members)


def smd_delta(rng: random.Random) -> bytes:
    contract = conid(rng)
    members = envelope(contract, rng)
    for code in rng.sample(("84", "86", "31", "85", "88"), rng.choice((0, 1, 1, 2, 2, 3, 4, 5))):
        members[code] = size(rng) if code in ("85", "88") else price(rng)
    if rng.random() < 0.3:
        members["83"] = rng.randrange(-999, 999) / 100
    if rng.random() < 0.1:
        members |= {"87": f"{rng.randrange(10, 999) / 10}{rng.choice('KM')}", "87_raw": rng.randrange(1_000_000)}
    if rng.random() < 0.02:
        members["6508"] = "&" + "&".join(f"serviceID{i + 1}={rng.randrange(100, 800)}" for i in range(8))
    return text_of(members | {"topic": f"smd+{contract}"})


def smd_snapshot(rng: random.Random) -> bytes:
    """Return the first frame of a subscription, with the topic as its third key."""
    contract = conid(rng)
    parts = envelope(contract, rng)
    members: dict[str, Any] = {"6509": rng.choice(("RpB", "DPB", "ZB", "R")), "conidEx": str(contract)}
    members |= {"topic": f"smd+{contract}", "conid": contract, "_updated": parts["_updated"], "6119": parts["6119"]}
    members |= {"83": rng.randrange(-999, 999) / 100, "server_id": parts["server_id"], "84": price(rng)}
    last = rng.choice(("", "", "", "C", "H")) + price(rng)
    return text_of(members | {"31": last, "86": price(rng), "85": size(rng), "88": size(rng)})


def smd_without_data(rng: random.Random) -> bytes:
    contract = conid(rng)
    return text_of(envelope(contract, rng) | {"55": "-", "31": "N/A", "topic": f"smd+{contract}"})


def smd_exchange(rng: random.Random) -> bytes:
    contract = conid(rng)
    members = envelope(contract, rng) | {"conidEx": f"{contract}@NYSE", "84": price(rng), "86": price(rng)}
    return text_of(members | {"topic": f"smd+{contract}@NYSE"})


def smd_combo(rng: random.Random) -> bytes:
    legs = f"{conid(rng)}/1,{conid(rng)}/-1"
    return text_of({"_updated": moment_ms(rng), "31": price(rng), "topic": f"smd+28812380;;;{legs}"})


def heartbeat(rng: random.Random) -> bytes:
    return text_of({"topic": "system", "hb": moment_ms(rng)})


def tic(rng: random.Random) -> bytes:
    return text_of({"topic": "tic", "alive": True, "id": SESSION, "lastAccessed": moment_ms(rng)})


def execution(rng: random.Random) -> bytes:
    contract = conid(rng)
    row: dict[str, Any] = {
        "execution_id": f"0000e0d5.{rng.randrange(16**8):08x}.01.01",
        "symbol": "ABC",
        "supports_tax_opt": "1",
    }
    row |= {"side": rng.choice("BS"), "order_description": "Bot 100 @ 10.00 on NYSE", "trade_time": "20260429-14:21:18"}
    fills = {"trade_time_r": moment_ms(rng), "size": 100.0, "price": price(rng), "order_ref": "reference"}
    fills |= {"submitter": "user1234", "exchange": "NYSE", "commission": "1.05", "net_amount": 1000.0}
    who = {"account": ACCOUNT, "accountCode": ACCOUNT, "account_allocation_name": ACCOUNT, "company_name": "ABC INC"}
    what = {"contract_description_1": "ABC", "sec_type": "STK", "listing_exchange": "NYSE", "conid": contract}
    tail = {"conidEx": str(contract), "clearing_id": "IB", "clearing_name": "IB", "liquidation_trade": "0"}
    row |= fills | who | what | tail | {"is_event_trading": "0", "order_id": 1_777_439_171_105}
    return text_of({"topic": "str", "args": [row]})


def order(rng: random.Random) -> bytes:
    contract = conid(rng)
    row = {"acct": ACCOUNT, "conidex": str(contract), "conid": contract, "account": ACCOUNT}
    row |= {"orderId": rng.randrange(2**30), "cashCcy": "USD", "sizeAndFills": "0/1", "ticker": "ABC", "secType": "STK"}
    row |= {"orderDesc": 'Buy 1 ABC Limit 1.00, "Day"', "description1": "ABC", "listingExchange": "NASDAQ.NMS"}
    row |= {"remainingQuantity": 1.0, "filledQuantity": 0.0, "totalSize": 1.0, "companyName": "ABC INC"}
    row |= {"status": "Submitted", "order_ccp_status": "Submitted", "outsideRTH": False, "origOrderType": "LIMIT"}
    row |= {"supportsTaxOpt": "1", "lastExecutionTime": "260430123533", "orderType": "Limit", "bgColor": "#000000"}
    row |= {"fgColor": "#00F000", "isEventTrading": "0", "price": price(rng), "timeInForce": "CLOSE", "side": "BUY"}
    return text_of({"topic": "sor", "args": [row]})


def order_delta(rng: random.Random) -> bytes:
    row = {"acct": ACCOUNT, "orderId": rng.randrange(2**30), "status": "PreSubmitted", "fgColor": "#997EE5"}
    return text_of({"topic": "sor", "args": [row]})


def pnl(rng: random.Random) -> bytes:
    row = {"rowType": 1, "dpl": 15.7, "nl": 10_000.0, "upl": float(rng.randrange(999)), "el": 10_000.0, "mv": 0.0}
    return text_of({"topic": "spl", "args": {f"{ACCOUNT}.Core": row}})


def summary(rng: random.Random) -> bytes:
    rows = [
        {"key": f"Key{i}", "currency": "USD", "monetaryValue": i * 10.25, "severity": 0, "timestamp": 1_777_552_119}
        for i in range(135)
    ]
    return text_of({"result": rows, "topic": f"ssd+{ACCOUNT}"})


def ledger(rng: random.Random) -> bytes:
    rows: list[dict[str, Any]] = [{"key": "LedgerListUSD", "cashbalance": 2.0201311791131118e8, "timestamp": 1}]
    rows += [{"key": f"LedgerList{currency}", "timestamp": 1} for currency in ("BASE", "EUR", "CHF")]
    return text_of({"result": rows, "topic": f"sld+{ACCOUNT}"})


def status(rng: random.Random) -> bytes:
    return text_of(
        {"topic": "sts", "args": rng.choice(({"authenticated": True}, {"competing": False}, {"message": ""}))}
    )


def account(rng: random.Random) -> bytes:
    features = {f"allow{i}": bool(i % 2) for i in range(40)}
    periods = {kind: ["2h", "1d", "2d", "1w", "1m"] for kind in ("STK", "OPT", "FUT", "CASH", "BOND")}
    args = {"accounts": [ACCOUNT], "aliases": {ACCOUNT: ACCOUNT}, "allowFeatures": features, "chartPeriods": periods}
    return text_of(
        {"topic": "act", "args": args | {"selectedAccount": ACCOUNT, "sessionId": SESSION, "isPaper": False}}
    )


def notice(rng: random.Random) -> bytes:
    row = {"id": str(rng.randrange(10**6)), "title": None, "text": 'a "quoted" note \\ with é', "url": None}
    return text_of({"topic": "ntf", "args": [row]})


def refusal(rng: random.Random) -> bytes:
    return text_of({"error": "unable to subscribe", "code": 500, "topic": "sor"})


def without_topic(rng: random.Random) -> bytes:
    return text_of({"message": f"Unsubscribed {rng.randrange(10**6)}"})


def not_json(rng: random.Random) -> bytes:
    return b"ech+hb"


def empty_object(rng: random.Random) -> bytes:
    return b"{}"
