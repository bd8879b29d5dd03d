"""Reloads the instruments of `collect` on SIGHUP, and leaves them as they are if anything is wrong"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cpapi_fast.cli.arguments import new_file
from cpapi_fast.cli.config.instrument_files import instruments_of
from cpapi_fast.errors import CpapiError

if TYPE_CHECKING:
    from cpapi_fast.cli.config import Settings
    from cpapi_fast.collect.collector import Collector

#: The options that a reload changes.
_INSTRUMENTS: Final = frozenset({"conids", "symbols", "conids-file", "symbols-file"})

#: How many changed options a notice names.
_MAX_NAMES: Final = 5


class Reloader:
    """Reads the configuration and the files of instruments again, and changes the instruments of a run.

    Args:
        args: the arguments of the command.
        collector: the run.
        inform: called with a line of text about what has changed.
        warn: called with a line of text about what is wrong.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        collector: Collector,
        inform: Callable[[str], object],
        warn: Callable[[str], object],
    ) -> None:
        self._settings: Final[Settings] = args.settings
        self._collector: Final = collector
        self._inform: Final = inform
        self._warn: Final = warn

    async def reload(self) -> None:
        """Reload once. It raises no error of the library."""
        try:
            await self._reload()
        except CpapiError as exc:
            for problem in getattr(exc, "problems", None) or (str(exc),):
                self._warn(f"not reloaded, the instruments stay as they are: {problem}")

    async def _reload(self) -> None:
        found = self._settings.read_again()
        before = self._settings.current
        actions = self._settings.actions
        # The run has created its new files, so their names are not read again.
        others = [key for key in found if key not in _INSTRUMENTS and actions[key].type is not new_file]
        other = [key for key in others if found[key].value != before[key].value]
        if other:
            names = ", ".join(other[:_MAX_NAMES]) + (" and others" if len(other) > _MAX_NAMES else "")
            self._warn(f"only instruments are reloaded; a change of {names} takes effect at the next start")
        args = argparse.Namespace(**{key.replace("-", "_"): found[key].value for key in _INSTRUMENTS})
        conids, symbols = instruments_of(args)
        if not (conids or symbols) and not self._collector.options.account_tables:
            self._warn("not reloaded, the instruments stay as they are: the configuration has none")
            return
        added, removed = await self._collector.set_instruments(conids, symbols)
        self._inform(f"reloaded the instruments: {len(added):,} joined, {len(removed):,} left")
