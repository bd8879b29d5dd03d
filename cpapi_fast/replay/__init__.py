"""Replay: captures in the place of a feed, at any pace

The files::

    capture_file.py     the messages of one capture
    recorded_events.py  the events of a run
    recording.py        runs of several files: their frames and events in order
    recorded_feed.py    the recorded states, and the recorded time as a clock
    replay_driver.py    delivers a recording to the consumers of a feed
    replay.py           Replay
"""

from __future__ import annotations

from .replay import Replay

__all__ = ["Replay"]
