"""The options of the commands that read files. Each command imports its modules only when it runs"""

from __future__ import annotations

import argparse

from cpapi_fast.cli.arguments import new_file, set_command


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    parser.description = (
        "Write one HTML page about the files of collect: whether the data is complete, gaps and standstills by "
        "instrument, states, rates, lateness, and the files. The page needs no network. Files that are unfinished or "
        "damaged are read as far as they go. The answer is printed, too."
    )
    parser.add_argument("path", metavar="PATH", help="folder of files, or one file, which stands for its run")
    parser.add_argument(
        "--out",
        type=new_file,
        metavar="FILE",
        help="the page, a new file (default: cpapi-fast-report-TIME.html in the current folder)",
    )
    set_command(parser, _report)


def _report(args: argparse.Namespace) -> int:
    from .report_command import run

    return run(args)


def add_replay(parser: argparse.ArgumentParser) -> None:
    """Add the options of `replay`, whose module takes long to import."""
    from . import replay_command

    replay_command.add_arguments(parser)
    set_command(parser, replay_command.run)
