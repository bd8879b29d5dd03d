"""SettingsError: everything that is wrong in a configuration, one line of text for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cpapi_fast.errors import ConfigError
from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact_accounts

#: How many problems of one configuration are listed.
_MAX_PROBLEMS: Final = 20


class SettingsError(ConfigError):
    """A configuration is wrong.

    Attributes:
        problems: what is wrong and how to correct it, each with its file and line, without accounts.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        found = [printable(redact_accounts(problem)) for problem in problems]
        more = len(found) - _MAX_PROBLEMS
        self.problems: Final = (*found[:_MAX_PROBLEMS], *([f"and {more} more problems like these"] if more > 0 else ()))
        super().__init__("; ".join(self.problems))
