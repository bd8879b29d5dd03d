"""What is wrong with a gateway, and the one thing to do: the steps from an address to a quote.

::

    diagnosis = await diagnose("https://localhost:5000/v1/api", tls=Tls.pinned("ab12..."))
    if not diagnosis.is_healthy:
        print(diagnosis.wrong, diagnosis.advice)

The files: findings (what is found, as text and JSON), examination (what the steps share), network (url, dns, tcp, tls),
login (rest to accounts), stream (websocket to pace), walk (the list of steps, and `diagnose`).
"""

from __future__ import annotations

from .findings import Diagnosis, Fault, Finding, Status, Step, line
from .walk import DEFAULT_CONID, DEFAULT_TIMEOUT_S, diagnose

__all__ = [
    "DEFAULT_CONID",
    "DEFAULT_TIMEOUT_S",
    "Diagnosis",
    "Fault",
    "Finding",
    "Status",
    "Step",
    "diagnose",
    "line",
]
