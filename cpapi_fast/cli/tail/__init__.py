"""The content of the screen of `cpapi-fast tail`.

The files::

    view.py      the values to show, as a `View`
    text.py      a `View` as lines of text, for a terminal of any size
"""

from __future__ import annotations

from cpapi_fast.cli.table import plain

from .text import lines, quote_line, state_line
from .view import Row, Tail, View, time_text

__all__ = ["Row", "Tail", "View", "lines", "plain", "quote_line", "state_line", "time_text"]
