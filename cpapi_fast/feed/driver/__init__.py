"""Driver: connects the machine to sockets, REST and timers.

The files::

    machine_runner.py      calls the inputs of the machine, and records them
    rest_calls.py          makes the machine's REST calls
    socket_supervisor.py   opens and closes sockets
    frame_inspector.py     delivers frames, and inspects the few that the machine needs
    arrival_watch.py       notices standstills and late frames
    control_frames.py      reads the payloads of inspected frames
    failures.py            converts errors to failures and causes
    driver.py              carries out the machine's actions, and sets its timer
"""

from __future__ import annotations

from .driver import Driver

__all__ = ["Driver"]
