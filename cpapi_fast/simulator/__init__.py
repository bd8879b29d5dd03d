"""A simulated Client Portal gateway, for tests and for trying the library without an account.

::

    async with SimulatedGateway() as gateway:
        print(gateway.url, gateway.fingerprint)

It behaves as the gateway is documented and was recorded, quirks included, and shares no code with the library's client.

The files::

    options.py certificate.py     options, and the TLS certificate
    wire.py                       WebSocket frames and JSON as the gateway writes them
    session.py                    the two levels of login
    market.py market_data.py      seeded prices, and one `smd` subscription
    topic_streams.py orders.py trades.py portfolio.py ladder.py history.py     the other topics
    system_frames.py              frames that belong to no subscription
    subscriptions.py              the subscriptions of one socket
    frame_writer.py replay.py     writing to one socket
    state.py                      state that all connections share
    server_connection.py connection_registry.py     one WebSocket, and all of them
    publisher.py                  market data and heartbeats as time passes
    rate_limits.py rest_routes.py REST
    faults.py gateway.py          faults to inject, and the gateway itself
    command.py                    `cpapi-fast simulate`
"""

from __future__ import annotations

from .certificate import Certificate
from .faults import GatewayFaults
from .frame_writer import ConnectionCounters, SentFrame
from .gateway import SimulatedGateway
from .options import SimulatorOptions
from .server_connection import ReceivedText, ServerConnection
from .state import ReceivedRequest

__all__ = [
    "Certificate",
    "ConnectionCounters",
    "GatewayFaults",
    "ReceivedRequest",
    "ReceivedText",
    "SentFrame",
    "ServerConnection",
    "SimulatedGateway",
    "SimulatorOptions",
]
