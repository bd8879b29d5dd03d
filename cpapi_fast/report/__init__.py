"""Report: one self-contained HTML page about the files of a run or of a folder of runs"""

from __future__ import annotations

from .findings import headline_of
from .texts import size_text
from .writer import write_report

__all__ = ["headline_of", "size_text", "write_report"]
