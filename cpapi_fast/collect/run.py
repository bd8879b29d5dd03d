"""Collects market data into files with one call"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .collector import Collector
from .options import CollectOptions
from .reports import Summary

if TYPE_CHECKING:
    from cpapi_fast.rest.client import Client


async def collect(
    client: Client,
    options: CollectOptions,
    *,
    stop: asyncio.Event | None = None,
    on_notice: Callable[[str], None] | None = None,
    outputs: Sequence[object] = (),
) -> Summary:
    """Collect market data into files until `stop` is set or the duration is over.

    Args:
        client: the client of the gateway. It stays open.
        options: what to collect.
        stop: ends the run when it is set.
        on_notice: a plain function, called with a line of text when data stops or returns, when an output is slow, and
            so on; see `Collector`.
        outputs: outputs of the program beside the files; see `Output`.

    Returns:
        The result of the run.

    Raises:
        CpapiError: see `Collector.run`. Use a `Collector` for the status of a run, and for the summary after an error.
    """
    return await Collector(client, options, on_notice=on_notice, outputs=outputs).run(stop)
