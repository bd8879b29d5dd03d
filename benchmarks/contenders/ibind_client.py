"""The WebSocket client of ibind, unmodified, with a callback for market data: the form in which it drops no frames.

ibind turns a frame of another topic into zero or more events, so it is measured only with market data. It passes on a
dict of the fields that it has names for, without `_updated`, so only its routes can be compared.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.contenders import Address, Drain
from benchmarks.frames import CONIDS
from benchmarks.work import Task

PACKAGES = ("ibind", "websocket-client")
TIMEOUT_S = 30.0


def client_of(address: Address, take: Any) -> Any:
    # ibind reads these variables at import. Its log files would be written to the working folder, and are not measured.
    quiet = {"IBIND_LOG_TO_CONSOLE": "0", "IBIND_LOG_TO_FILE": "0", "IBIND_LOGS_DIR": tempfile.gettempdir()}
    os.environ.update(quiet)
    from ibind import CallbackSink, IbkrClient, IbkrWsClient, events

    sink = CallbackSink()
    sink.on(events.MarketData, take)
    cacert: str | bool = False if address.cafile is None else str(address.cafile)
    scheme = "http" if address.cafile is None else "https"
    rest_url = f"{scheme}://{urlsplit(address.url).netloc}/v1/api/"
    return IbkrWsClient(
        account_id="DU1234567",
        url=address.url,
        ibkr_client=IbkrClient(account_id="DU1234567", url=rest_url, cacert=cacert),
        cacert=cacert,
        sink=sink,
        synchronous_output_events=True,
    )


def subscribed(conid: int) -> tuple[Any, Any]:
    from ibind import events
    from ibind.ibkr_ws.ibkr_subscriptions import MarketDataSubscription

    subscription = MarketDataSubscription(conid=str(conid), fields=["31", "84", "85", "86", "88"])
    return subscription, events.MarketData(conid=str(conid), data={})


def wait_until_open(client: Any) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while client.get_state().name != "OPEN":
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"ibind is {client.get_state().name}, not OPEN")
        time.sleep(0.005)


async def connect(address: Address, task: Task) -> Drain:
    take = task.take_decoded()
    frames = 0

    def on_market_data(event: Any) -> None:
        nonlocal frames
        frames += 1
        if frames == task.expected_frames:
            ended.set()
        take({"topic": f"smd+{event.conid}"})

    ended = threading.Event()
    client = client_of(address, on_market_data)
    # start() waits for an `sts` frame, and the sender waits for the client.
    threading.Thread(target=client.start, daemon=True).start()
    wait_until_open(client)
    for conid in CONIDS:
        subscription, first_event = subscribed(conid)
        client.subscribe(subscription)
        # Simulate the first frame, because ibind logs a warning for frames of an unconfirmed subscription.
        client._runtime.subscription_controller.observe(first_event)
    client._runtime.set_authenticated(True)

    async def drain() -> int:
        client._runtime.send("go")
        # ibind reconnects after a CLOSE frame without reporting it, so the last frame marks the end.
        if not ended.wait(TIMEOUT_S):
            raise TimeoutError(f"ibind has passed on {frames} of {task.expected_frames} frames")
        return frames

    return drain
