"""`python -m cpapi_fast.feed.decisions FILE`: replay a decision record, and print each input with its actions."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from typing import Final

from cpapi_fast.console import StreamError, say, tell
from cpapi_fast.errors import DecisionRecordError
from cpapi_fast.program import EXIT_FAILURE, OneLineParser, run_program

from .record_format import encode_action
from .replay import replay_decisions

#: What the user types.
_NAME: Final = "python -m cpapi_fast.feed.decisions"


def main(argv: Sequence[str] | None = None) -> int:
    """Replay one file; returns the exit code: 1 if the file is damaged or the actions differ.

    Args:
        argv: the arguments; None for those of the process, whose only work is then this command.
    """
    return run_program(lambda: _replay(_parser().parse_args(argv)), is_program=argv is None)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=_NAME,
        description="Replay a decision record, and print each input with its actions.",
        allow_abbrev=False,
    )
    parser.add_argument("file", help="a decision record")
    parser.add_argument("--all", action="store_true", help="also inputs without actions")
    return parser


def _replay(arguments: argparse.Namespace) -> int:
    count = 0
    try:
        for decision in replay_decisions(arguments.file):
            count += 1
            if decision.actions or decision.error or arguments.all:
                lines = [f"{_time_text(decision.now.ns)} {decision.input} {decision.arguments}"]
                lines += [f"    {' '.join(map(str, encode_action(action, str)))}" for action in decision.actions]
                if decision.error is not None:
                    lines.append(f"    raised {decision.error}")
                say(*lines)
        say(f"{count} inputs replayed; all actions equal those of the record")
    except StreamError:
        raise
    except DecisionRecordError as error:
        tell(f"{arguments.file}: {error}")
        return EXIT_FAILURE
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path.
        tell(f"{arguments.file}: {getattr(error, 'strerror', None) or error}")
        return EXIT_FAILURE
    return 0


def _time_text(time_ns: int) -> str:
    try:
        return dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC).isoformat(timespec="milliseconds")
    except (OverflowError, OSError, ValueError):
        # A damaged record, or a clock far from today.
        return f"{time_ns} ns"


if __name__ == "__main__":
    sys.exit(main())
