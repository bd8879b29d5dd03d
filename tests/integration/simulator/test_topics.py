"""The simulated gateway's other topics: the frames after each subscribe, and the reply to its unsubscribe."""

from __future__ import annotations

import json

import aiohttp

from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import StartGateway

from .conftest import Connect
from .plain_client import L1, Socket

ACCOUNT = "DU1234567"


async def test_sor_sends_a_full_record_and_then_sparse_deltas(socket: Socket) -> None:
    assert await socket.replies("sor+{}") == []
    records = [frame["args"][0] for frame in await socket.several("sor", 12)]
    full = records[0]
    assert len(full) > 25
    assert full["status"] == "Inactive"
    assert (type(full["price"]), type(full["totalSize"]), type(full["orderId"])) == (str, float, int)
    assert "conidex" in full
    assert set(records[1]) == {"acct", "conidex", "conid", "orderId", "isEventTrading"}
    assert [record["status"] for record in records[2:5]] == ["PendingSubmit", "PreSubmitted", "Submitted"]
    assert all("conid" not in record for record in records[2:5])
    assert all({"acct", "orderId"} <= set(record) for record in records)
    # uor is not answered.
    assert await socket.replies("uor+{}") == []
    assert socket.peer.subscriptions == ()


async def test_sor_filters_by_status(socket: Socket) -> None:
    await socket.replies('sor+{"filters":["Submitted"]}')
    records = [frame["args"][0] for frame in await socket.several("sor", 6)]
    assert {record["status"] for record in records if "status" in record} == {"Submitted"}


async def test_sor_may_be_refused_until_the_accounts_were_read(
    start_gateway: StartGateway, connect: Connect, session: aiohttp.ClientSession
) -> None:
    gateway = await start_gateway(refuse_orders_until_accounts=True)
    socket = await connect(gateway)
    refusal = b'{"error":"unable to subscribe","code":500,"topic":"sor"}'
    assert await socket.replies("sor+{}") == [refusal]
    async with session.get(gateway.url + "/iserver/accounts") as response:
        assert (await response.json())["selectedAccount"] == ACCOUNT
    assert await socket.replies("sor+{}") == []
    assert socket.peer.subscriptions == ("sor",)


async def test_str_starts_empty_and_sends_each_execution_twice(socket: Socket) -> None:
    frames = [json.loads(frame) for frame in await socket.replies('str+{"days":3}')]
    frames += await socket.several("str", 4)
    assert frames[0] == {"topic": "str", "args": []}
    executions = [frame["args"] for frame in frames[1:]]
    assert {len(execution) for execution in executions} == {1}
    ids = [execution[0]["execution_id"] for execution in executions]
    assert len(ids) == 2 * len(set(ids))
    assert all(ids.count(each) == 2 for each in ids)
    with_commission = [execution[0] for execution in executions if "commission" in execution[0]]
    assert len(with_commission) == len(set(ids))
    assert all(type(execution["commission"]) is str for execution in with_commission)
    assert executions[0][0]["order_id"] > 2**40
    assert await socket.replies("utr") == []
    assert socket.peer.subscriptions == ()


async def test_str_without_history(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(speed=1.0)
    socket = await connect(gateway)
    assert await socket.replies('str+{"realtimeUpdatesOnly":true}') == [b'{"topic":"str","args":[]}']


async def test_spl_is_keyed_by_account_and_core(socket: Socket) -> None:
    await socket.send("spl+{}")
    first, second = await socket.several("spl", 2)
    assert list(first["args"]) == [f"{ACCOUNT}.Core"]
    assert first["args"][f"{ACCOUNT}.Core"]["rowType"] == 1
    assert first != second
    await socket.replies("upl")
    assert await socket.replies() == []


async def test_ssd_has_some_135_rows_and_its_unsubscribe_gets_a_reply(socket: Socket) -> None:
    (frame,) = [json.loads(raw) for raw in await socket.replies(f"ssd+{ACCOUNT}+{{}}")]
    assert frame["topic"] == f"ssd+{ACCOUNT}"
    assert 130 <= len(frame["result"]) <= 140
    assert frame["result"][0]["timestamp"] < 10**11, "seconds, not milliseconds"
    assert await socket.replies(f"usd+{ACCOUNT}+{{}}") == [b'{"result":"unsubscribed from summary"}']


async def test_ssd_has_only_the_requested_keys_and_fields(socket: Socket) -> None:
    text = 'ssd+DU1234567+{"keys":["AccruedCash-S"],"fields":["currency","monetaryValue"]}'
    (frame,) = [json.loads(raw) for raw in await socket.replies(text)]
    assert [list(row) for row in frame["result"]] == [["key", "currency", "monetaryValue", "severity", "timestamp"]]
    assert frame["result"][0]["key"] == "AccruedCash-S"


async def test_sld_repeats_unchanged_currencies_as_key_and_time(socket: Socket) -> None:
    (raw,) = await socket.replies(f"sld+{ACCOUNT}+{{}}")
    assert b"E8" in raw, "large numbers come with an exponent, as Java writes them"
    assert all("cashbalance" in row for row in json.loads(raw)["result"])
    later = await socket.topic(f"sld+{ACCOUNT}")
    assert sorted(len(row) for row in later["result"])[:4] == [2, 2, 2, 2]
    assert sum(len(row) > 2 for row in later["result"]) == 1
    assert await socket.replies(f"uld+{ACCOUNT}+{{}}") == [b'{"result":"unsubscribed from ledger"}']
    assert await socket.replies(f"uld+{ACCOUNT}+{{}}") == []


async def test_smh_gets_one_reply_and_holds_its_slot_until_umh(socket: Socket) -> None:
    text = 'smh+265598+{"exchange":"NASDAQ","period":"2h","bar":"5min","source":"trades","format":"%o/%c/%h/%l"}'
    (frame,) = [json.loads(raw) for raw in await socket.replies(text)]
    assert list(frame)[-1] == "topic"
    assert frame["topic"] == "smh+265598"
    assert (frame["timePeriod"], frame["barLength"], frame["points"], len(frame["data"])) == (
        "7200s",
        300,
        24,
        24,
    )
    for conid in (2, 3, 4, 5):
        await socket.replies(f"smh+{conid}+{{}}")
    (refusal,) = await socket.replies("smh+6+{}")
    assert set(json.loads(refusal)) == {"error", "code", "topic"}
    server_id = frame["serverId"]
    reply = b'{"message":"Unsubscribed %s"}' % server_id.encode()
    assert await socket.replies(f"umh+{server_id}") == [reply]
    assert b'"serverId"' in (await socket.replies("smh+6+{}"))[0]


async def test_smh_of_what_has_no_history_is_refused_and_takes_no_slot(
    start_gateway: StartGateway, connect: Connect
) -> None:
    gateway = await start_gateway(inactive_conids=frozenset({7}))
    socket = await connect(gateway)
    for target in ("7", "0;;;1/1,2/-1"):
        (refusal,) = [json.loads(raw) for raw in await socket.replies(f"smh+{target}+{{}}")]
        assert refusal == {"error": "Chart data unavailable", "code": 500, "topic": f"smh+{target}"}
    assert socket.peer.socket_subscriptions.histories == {}


async def test_smh_has_the_prices_of_the_ticks(start_gateway: StartGateway, connect: Connect) -> None:
    gateway = await start_gateway(speed=100.0)
    socket = await connect(gateway)
    await socket.send('smd+265598+{"fields":["31"]}')
    prices = []
    while len(prices) < 20:
        frame = await socket.topic("smd+265598")
        # The two snapshots may show a price from before the first trade.
        if "31" in frame and "6509" not in frame:
            prices.append(float(frame["31"].lstrip("CH")))
    (answer,) = [
        json.loads(raw) for raw in await socket.replies('smh+265598+{"period":"30min","bar":"1min"}') if b"smh+" in raw
    ]
    low, high = (min(bar["l"] for bar in answer["data"]), max(bar["h"] for bar in answer["data"]))
    assert low <= min(prices) <= max(prices) <= high
    assert answer["data"][-1]["v"] > 0


async def test_sbd_has_one_ladder_per_account(start_gateway: StartGateway, connect: Connect) -> None:
    # In ordinary time: the ladder does not change between two replies.
    gateway = await start_gateway(speed=1.0)
    socket = await connect(gateway)
    (frame,) = [json.loads(raw) for raw in await socket.replies(f"sbd+{ACCOUNT}+265598")]
    assert frame["topic"] == f"sbd+{ACCOUNT}+265598"
    assert [row["row"] for row in frame["data"]] == list(range(11))
    assert [row for row in frame["data"] if row["focus"] == 1 and " @ " in row["price"]]
    await socket.replies(f"sbd+{ACCOUNT}+8314+NASDAQ")
    assert socket.peer.subscriptions == (f"sbd+{ACCOUNT}+8314+NASDAQ",)
    assert await socket.replies(f"ubd+{ACCOUNT}") == []
    assert socket.peer.subscriptions == ()


async def test_notices_bulletins_and_errors(gateway: SimulatedGateway, socket: Socket) -> None:
    gateway.faults.send_notification("Order 1 was rejected", identifier="REJECTED")
    gateway.faults.send_bulletin("Exchange closes early")
    gateway.faults.send_error("server error", 500)
    notice, bulletin, error = [await socket.json() for _ in range(3)]
    assert notice == {
        "topic": "ntf",
        "args": [{"id": "REJECTED", "text": "Order 1 was rejected", "title": None, "url": None}],
    }
    assert bulletin == {
        "topic": "blt",
        "args": [{"id": 1, "exchanges": None, "message": "Exchange closes early"}],
    }
    assert error == {"error": "server error", "code": 500}


async def test_topics_of_the_brokerage_session_need_it_and_the_others_do_not(
    start_gateway: StartGateway, connect: Connect
) -> None:
    gateway = await start_gateway(has_brokerage=False)
    socket = await connect(gateway, is_ready=False)
    burst = [await socket.json(), await socket.json()]
    assert [frame["topic"] for frame in burst] == ["system", "sts"]
    assert burst[1]["args"]["authenticated"] is False
    brokerage = (f"smd+1+{L1}", "smh+1+{}", f"sbd+{ACCOUNT}+1", "sor+{}", "str+{}")
    assert await socket.replies(*brokerage) == []
    assert socket.peer.subscriptions == ()
    await socket.replies("spl+{}", f"ssd+{ACCOUNT}+{{}}", f"sld+{ACCOUNT}+{{}}")
    assert socket.peer.subscriptions == ("spl", f"ssd+{ACCOUNT}", f"sld+{ACCOUNT}")
