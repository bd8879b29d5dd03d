"""Where a command's gateway comes from: `--url` with its TLS choice, or `--simulate`, in; a client out."""

from __future__ import annotations

import argparse
import sys
from contextlib import AsyncExitStack
from typing import Any, Final

from cpapi_fast.errors import ConfigError
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls

from .tls_options import chosen_tls, is_tls_chosen

#: Options that only a simulated gateway takes; a command need not have all of them.
SIMULATOR_OPTIONS: Final = ("seed", "speed", "rate", "replay")


def check_source(args: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: an option of the simulator for a gateway that is none, or a TLS option for the simulator.
    """
    if not args.simulate:
        given = [f"--{name}" for name in _simulator_options(args)]
        if given:
            raise ConfigError(f"{', '.join(given)} only goes with --simulate")
    elif is_tls_chosen(args):
        raise ConfigError("with --simulate the certificate is pinned by itself; give no TLS option")


async def open_client(args: argparse.Namespace, stack: AsyncExitStack) -> Client:
    """A client of the gateway that the options name; a simulated one is started, and both end with the stack.

    Raises:
        ConfigError: an option cannot be right.
    """
    if args.simulate:
        return await stack.enter_async_context(await _simulated(args, stack))
    return await stack.enter_async_context(Client(args.url, tls=chosen_tls(args)))


async def _simulated(args: argparse.Namespace, stack: AsyncExitStack) -> Client:
    from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions

    gateway = await stack.enter_async_context(SimulatedGateway(SimulatorOptions(**_simulator_options(args))))
    print(f"cpapi-fast: simulated gateway at {gateway.url}, fingerprint {gateway.fingerprint}", file=sys.stderr)
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else Tls.verify()
    return Client(gateway.url, tls=tls, clock=gateway.clock)


def _simulator_options(args: argparse.Namespace) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name in SIMULATOR_OPTIONS if (value := getattr(args, name, None)) is not None}
