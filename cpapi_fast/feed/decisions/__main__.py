"""`python -m cpapi_fast.feed.decisions FILE`: replay a decision record, and print each input with its actions."""

from __future__ import annotations

import argparse
import datetime as dt
import sys

from cpapi_fast.console import StreamError, say, standard_streams, tell
from cpapi_fast.errors import DecisionRecordError

from .record_format import encode_action
from .replay import replay_decisions


def main() -> int:
    """Replay one file; returns the exit code: 1 if the file is damaged or the actions differ."""
    parser = argparse.ArgumentParser(prog="python -m cpapi_fast.feed.decisions", description=__doc__)
    parser.add_argument("file", help="the file of FeedOptions(record_decisions=...)")
    parser.add_argument("--all", action="store_true", help="also inputs without actions")
    arguments = parser.parse_args()
    with standard_streams():
        return _replay(arguments)


def _replay(arguments: argparse.Namespace) -> int:
    count = 0
    try:
        for decision in replay_decisions(arguments.file):
            count += 1
            if decision.actions or decision.error or arguments.all:
                time = dt.datetime.fromtimestamp(decision.now.ns / 1e9, dt.UTC).isoformat(timespec="milliseconds")
                lines = [f"{time} {decision.input} {decision.arguments}"]
                lines += [f"    {' '.join(map(str, encode_action(action, str)))}" for action in decision.actions]
                if decision.error is not None:
                    lines.append(f"    raised {decision.error}")
                say(*lines)
        say(f"{count} inputs replayed; all actions equal those of the record")
    except StreamError as error:
        if not error.is_reader_gone:
            tell(f"cannot write to stdout: {error.strerror}")
        return 1
    except (DecisionRecordError, OSError) as error:
        tell(f"{arguments.file}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
