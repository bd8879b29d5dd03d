"""The options of `collect` for its configuration and its log."""

from __future__ import annotations

import argparse


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and `--check`."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a TOML file with options: each key is the name of an option without its dashes; the command line has "
        "precedence, then environment variables such as CPAPI_FAST_FLUSH_INTERVAL, then the file",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="check the options, files and folder without a connection, print the effective options with their "
        "sources, and exit: 0 if a run can start, 1 if the folder cannot be written, 2 if an option or file is wrong",
    )


def add_log_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what is printed."""
    group = parser.add_argument_group("what is printed")
    group.add_argument(
        "--log-format",
        choices=("text", "json"),
        help="write each change of state, gap, retry and notice to stderr as a line with its time: text, or one JSON "
        "object (default: notices only, without a time)",
    )
    group.add_argument(
        "--log-level",
        choices=("debug", "info", "warning"),
        help="the lowest level of these lines; debug adds each request (default: info)",
    )
    group.add_argument("--quiet", action="store_true", help="print only warnings and errors: no progress, no summary")
    group.add_argument(
        "--progress", action="store_true", help="print a line of progress every five seconds where there is no terminal"
    )
