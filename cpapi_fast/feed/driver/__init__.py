"""Driver: connects the machine to sockets, REST and timers.

The files::

    machine_runner.py      gives the machine its inputs, and records them
    rest_calls.py          makes the machine's calls over REST
    socket_supervisor.py   opens and closes sockets
    frame_inspector.py     delivers frames, and inspects the few that concern the machine
    control_frames.py      reads the contents of those
    failures.py            the failures that correspond to errors
    driver.py              carries out the machine's actions, and sets its timer
"""

from __future__ import annotations

from .driver import Driver

__all__ = ["Driver"]
