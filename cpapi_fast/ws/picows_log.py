"""The logger that a connection gives to picows: it discards all messages, and reports that picows refuses a frame"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

#: No level is enabled, because picows logs the upgrade request with the cookie at level 9 and below.
_SILENT: Final = logging.Logger("cpapi_fast.picows", logging.CRITICAL + 1)


class PicowsLog(logging.LoggerAdapter[logging.Logger]):
    """The logger for one connection of picows.

    picows parses one frame ahead. When it refuses a frame, it logs an error, sends CLOSE, and only then passes on the
    frame before. The error is therefore the last moment to reply to a CLOSE frame that precedes the refused one.

    Args:
        on_refusal: called before picows sends CLOSE for a violation of the protocol.
    """

    def __init__(self, on_refusal: Callable[[], None]) -> None:
        super().__init__(_SILENT)
        self._on_refusal = on_refusal

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Report an error; every other method of the logger calls this one."""
        if level >= logging.ERROR:
            self._on_refusal()
        super().log(level, msg, *args, **kwargs)
