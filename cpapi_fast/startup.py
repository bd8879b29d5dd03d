"""Ctrl-C and SIGHUP before a command begins, while its modules are imported.

Ctrl-C ends the process at once, without a traceback. SIGHUP does not end a service, where it means: reload.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Final

#: What follows `python -m` and what pip installs; Windows adds suffixes.
_MODULE: Final = re.compile(r"(?:-\w*m)?cpapi_fast(?:\.feed\.decisions)?(?:\.__main__)?")
_SCRIPT: Final = re.compile(r"cpapi-fast(?:-script)?(?:\.\w+)?")


def is_command() -> bool:
    """Whether this process was started as a command of this package, and not as a program that imports it."""
    if not sys.argv:
        return False
    if sys.argv[0] == "-m":
        # While Python searches for the module. The arguments after it are the same in both lists.
        original = sys.orig_argv
        return len(original) >= len(sys.argv) and _MODULE.fullmatch(original[-len(sys.argv)]) is not None
    return _SCRIPT.fullmatch(Path(sys.argv[0]).name) is not None


def let_interrupts_end_the_process() -> None:
    """Let Ctrl-C end the process at once: nothing has to be finished yet.

    Python's own handler raises KeyboardInterrupt in the middle of an import, where it becomes a traceback or is lost.
    In a thread that is not the main one, and if something else handles Ctrl-C, this has no effect.
    """
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def keep_services_from_hanging_up() -> None:
    """Let SIGHUP do nothing in `collect` without a terminal, until the command handles it. It reads its files later.

    A signal that is ignored stays ignored. In a thread that is not the main one, this has no effect.
    """
    command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if (
        command == "collect"
        and hasattr(signal, "SIGHUP")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        and not has_terminal()
    ):
        signal.signal(signal.SIGHUP, _ignore)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, whose end sends SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _ignore(_number: int, _frame: object) -> None:
    """Take a signal. Unlike one that is ignored, it is not inherited, and the command handles it later."""


def let_interrupts_raise() -> None:
    """Restore Python's own handler of Ctrl-C when the command begins."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
