"""Imports the packages of a report when one is made, or states how to install them"""

from __future__ import annotations

import importlib
from typing import Any

from cpapi_fast.errors import MissingDependencyError


def import_numpy() -> Any:
    """Import numpy, which Bokeh needs too.

    Raises:
        MissingDependencyError: it is not installed. The message states how to install it.
    """
    return _imported("numpy", "bokeh")


def import_bokeh(module: str) -> Any:
    """Import a module of Bokeh, such as `bokeh.plotting`.

    Raises:
        MissingDependencyError: it is not installed. The message states how to install it.
    """
    return _imported(module, "bokeh")


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise MissingDependencyError.of("a report", package) from exc
