"""`python -m cpapi_fast.feed.decisions FILE`: replay a decision record, and print each input with its actions."""

from __future__ import annotations

import argparse
import datetime as dt
import sys

from cpapi_fast.errors import DecisionRecordError

from .record_format import encode_action
from .replay import replay_decisions


def main() -> int:
    """Replay one file; returns the exit code: 1 if the file is damaged or the actions differ."""
    parser = argparse.ArgumentParser(prog="python -m cpapi_fast.feed.decisions", description=__doc__)
    parser.add_argument("file", help="the file of FeedOptions(record_decisions=...)")
    parser.add_argument("--all", action="store_true", help="also inputs without actions")
    arguments = parser.parse_args()
    count = 0
    try:
        for decision in replay_decisions(arguments.file):
            count += 1
            if decision.actions or decision.error or arguments.all:
                time = dt.datetime.fromtimestamp(decision.now.ns / 1e9, dt.UTC).isoformat(timespec="milliseconds")
                sys.stdout.write(f"{time} {decision.input} {decision.arguments}\n")
                for action in decision.actions:
                    sys.stdout.write(f"    {' '.join(map(str, encode_action(action, str)))}\n")
                if decision.error is not None:
                    sys.stdout.write(f"    raised {decision.error}\n")
    except (DecisionRecordError, OSError) as error:
        sys.stderr.write(f"{arguments.file}: {error}\n")
        return 1
    sys.stdout.write(f"{count} inputs replayed; all actions equal those of the record\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
