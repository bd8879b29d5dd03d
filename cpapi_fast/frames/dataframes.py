"""Imports the libraries to which columns are converted, or states how to install them"""

from __future__ import annotations

import importlib
from typing import Any

from cpapi_fast.errors import MissingDependencyError


def import_library(name: str) -> Any:
    """Import and return `pyarrow`, `pandas` or `polars`.

    Raises:
        MissingDependencyError: it is not installed. The message states how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError.of("this conversion", name) from error
