"""Checks every step from the URL of a gateway to a quote, and reports the first failure with advice.

::

    diagnosis = await diagnose("https://localhost:5000/v1/api", tls=Tls.pinned("ab12..."))
    if not diagnosis.is_healthy:
        print(diagnosis.summary, diagnosis.advice)

The modules: `diagnosis` holds the results, as text and as JSON; `context` is what the steps share; `observer` records
what a socket receives; `network`, `login` and `stream` are the steps; `runner` runs them in order (`diagnose`).
"""

from __future__ import annotations

from .diagnosis import Diagnosis, Finding, Outcome, Problem, Step, report_line
from .runner import DEFAULT_CONID, DEFAULT_TIMEOUT_S, diagnose

__all__ = [
    "DEFAULT_CONID",
    "DEFAULT_TIMEOUT_S",
    "Diagnosis",
    "Finding",
    "Outcome",
    "Problem",
    "Step",
    "diagnose",
    "report_line",
]
