"""Runs a program of the command line: its exit codes, errors in one line, and no traceback."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Final, NoReturn

from cpapi_fast.console import StreamError, standard_streams, stuck_streams, tell
from cpapi_fast.errors import CpapiError
from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact_accounts
from cpapi_fast.startup import let_interrupts_raise

from .last_resort import EXIT_INTERNAL, LastResort

#: Exit codes: invalid arguments; a failure; interrupted by Ctrl-C.
EXIT_USAGE: Final = 2
EXIT_FAILURE: Final = 1
EXIT_INTERRUPTED: Final = 130


class _Process:
    """This process.

    Attributes:
        is_command: whether it runs a command and nothing else.
    """

    is_command = False


#: What is known of this process.
this_process: Final = _Process()


class OneLineParser(argparse.ArgumentParser):
    """A parser that reports an error in one printable line without accounts, which may be among the arguments."""

    def error(self, message: str) -> NoReturn:
        """Write the message to stderr and end the program."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {printable(redact_accounts(message))} (see {self.prog} --help)\n")


def run_program(run: Callable[[], int], *, is_program: bool) -> int:
    """Run a program with streams that take any text; an error that it does not expect becomes one line.

    Args:
        run: the program; returns the exit code.
        is_program: whether the process runs nothing else.

    Returns:
        The exit code.
    """
    if is_program:
        let_interrupts_raise()
        this_process.is_command = True
    last_resort = LastResort()
    ended: SystemExit | None = None
    with last_resort.installed(is_program=is_program):
        try:
            with standard_streams():
                try:
                    code = _run_safely(run, last_resort)
                except SystemExit as exc:
                    # Raised again below, unless what `--help` printed could not be written.
                    ended = exc
        except StreamError as exc:
            code, ended = _stream_failure(exc), None
    if ended is not None:
        raise ended
    if is_program and stuck_streams:
        os._exit(code)
    return code


def _run_safely(run: Callable[[], int], last_resort: LastResort) -> int:
    try:
        return run()
    except StreamError as exc:
        return _stream_failure(exc)
    except BrokenPipeError:
        # Of code that prints in its own way. The errors of connections are typed.
        return EXIT_FAILURE
    except KeyboardInterrupt:
        tell("cpapi-fast: interrupted")
        return EXIT_INTERRUPTED
    except SystemExit:
        raise
    except BaseException as exc:  # noqa: BLE001 - a user gets no traceback
        last_resort.report("in the main thread", exc)
        return EXIT_INTERNAL


def _stream_failure(error: StreamError) -> int:
    """Report that stdout failed. If its reader has ended (`cpapi-fast ... | head`), nothing has to be said."""
    earlier = error.__context__
    while earlier is not None and not isinstance(earlier, CpapiError):
        earlier = earlier.__context__
    if earlier is not None:
        # The command had failed before it printed its summary.
        tell(f"cpapi-fast: error: {earlier}")
    elif not error.is_reader_gone and not error.is_terminal_closed:
        tell(f"cpapi-fast: error: {error.strerror}")
    return EXIT_FAILURE
