"""A simulated Client Portal gateway, for tests and for trying things out without an account.

::

    async with SimulatedGateway() as gateway:
        print(gateway.url, gateway.fingerprint)

It behaves as the gateway is documented and was recorded, quirks included, and shares no code with the library's client.

The files::

    options.py certificate.py     what it is like, and its TLS certificate
    wire.py                       WebSocket frames and JSON as the gateway writes them
    session.py                    the two levels of login
    market.py smd.py              seeded prices, and one market data subscription
    feeds.py orders.py trades.py portfolio.py ladder.py history.py     the other topics
    frames.py                     frames nobody subscribes to
    subscriptions.py              what a socket has subscribed to
    outbox.py replay.py           what is written to it
    connection.py                 one WebSocket
    pump.py                       what happens by itself as time passes
    pacing.py rest.py             REST
    faults.py gateway.py          the gateway, and how to break it
    command.py                    `cpapi-fast simulate`
"""

from __future__ import annotations

from .certificate import Certificate
from .connection import Connection, ReceivedText
from .gateway import SimulatedGateway
from .options import SimulatorOptions
from .outbox import Counters, SentFrame
from .world import ReceivedRequest

__all__ = [
    "Certificate",
    "Connection",
    "Counters",
    "ReceivedRequest",
    "ReceivedText",
    "SentFrame",
    "SimulatedGateway",
    "SimulatorOptions",
]
