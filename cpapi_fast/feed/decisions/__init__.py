"""The decision record of a feed: a file with every input of its machine, and the replay of that file."""

from __future__ import annotations

from .replay import Decision, replay_decisions

__all__ = ["Decision", "replay_decisions"]
