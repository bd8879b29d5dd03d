"""Decision records: files with every input of a feed's machine, and their replay."""

from __future__ import annotations

from .replay import Decision, replay_decisions

__all__ = ["Decision", "replay_decisions"]
