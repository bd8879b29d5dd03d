"""Quotes on a terminal, as they come.

The files::

    view.py      a feed and its events in, a view of this moment out
    text.py      a view as lines, for a terminal of any width
    screen.py    the terminal: drawn in place, and given back as it was
"""

from __future__ import annotations

from .screen import Screen
from .text import Line, lines, plain, quote_line, state_line
from .view import Row, Tail, View, time_text

__all__ = ["Line", "Row", "Screen", "Tail", "View", "lines", "plain", "quote_line", "state_line", "time_text"]
