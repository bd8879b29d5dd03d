"""The gateway of a command: creates a client from `--url` and the TLS options, or from `--simulate`."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack
from typing import Any, Final

from cpapi_fast.console import tell
from cpapi_fast.contract_cache import ContractCache
from cpapi_fast.errors import ConfigError
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls

from .feed_tuning import client_limits
from .tls_options import chosen_tls, is_tls_chosen

#: Options for a simulated gateway only.
SIMULATOR_OPTIONS: Final = ("seed", "speed", "rate", "replay")


def check_source(args: argparse.Namespace) -> None:
    """Check that the options fit together.

    Raises:
        ConfigError: a simulator option without `--simulate`, or a TLS option with it.
    """
    if not args.simulate:
        given = [f"--{name}" for name in SIMULATOR_OPTIONS if getattr(args, name, None) is not None]
        if given:
            raise ConfigError(f"{', '.join(given)} can only be used with --simulate")
    elif is_tls_chosen(args):
        raise ConfigError("TLS options cannot be used with --simulate, which pins its own certificate")


async def open_client(args: argparse.Namespace, stack: AsyncExitStack) -> Client:
    """A client of the gateway in the options. With `--simulate`, a gateway is started too. The stack closes both.

    Raises:
        ConfigError: an option is invalid.
    """
    if args.simulate:
        return await stack.enter_async_context(await _simulated(args, stack))
    return await stack.enter_async_context(
        Client(args.url, tls=chosen_tls(args), contract_cache=_cache(args), **client_limits(args))
    )


def _cache(args: argparse.Namespace) -> ContractCache | None:
    """The cache of contracts in the options; None without one."""
    folder = getattr(args, "contract_cache", None)
    if folder is None:
        return None
    return ContractCache.default() if folder is True else ContractCache(folder)


async def _simulated(args: argparse.Namespace, stack: AsyncExitStack) -> Client:
    from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions

    gateway = await stack.enter_async_context(SimulatedGateway(SimulatorOptions(**_simulator_options(args))))
    if not getattr(args, "quiet", False):
        tell(f"cpapi-fast: simulated gateway at {gateway.url}, fingerprint {gateway.fingerprint}")
    tls = Tls.pinned(gateway.fingerprint) if gateway.fingerprint else Tls.verify()
    return Client(gateway.url, tls=tls, clock=gateway.clock)


def _simulator_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the simulator in the arguments, with their values."""
    # The account of the simulator has the lines that the feed assumes.
    names = (*SIMULATOR_OPTIONS, "market_data_lines")
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}
