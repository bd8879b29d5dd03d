"""The options of the commands that read files. Each command imports its modules only when it runs"""

from __future__ import annotations

import argparse

from cpapi_fast.cli.arguments import existing, fields, file_mode, folder, new_file, set_command


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


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add the options of `verify`."""
    parser.description = (
        "Read files of collect completely, and prove that nothing in them is damaged or missing: every message, "
        "checksum and offset of a capture, every value of a table, every line of events; of a folder also that the "
        "files of each run follow each other, and that tables and events fit the capture. Files that a run still "
        "writes are left out. The exit code is 0 if all is proven, otherwise 1."
    )
    parser.add_argument("paths", nargs="+", type=existing, metavar="PATH", help="files, or their folder")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="replace each damaged capture and events file by what of it is whole, and keep the original as "
        "NAME.damaged",
    )
    set_command(parser, _verify)


def _verify(args: argparse.Namespace) -> int:
    from . import verify_command

    return verify_command.run(args)


def add_convert(parser: argparse.ArgumentParser) -> None:
    """Add the options of `convert`."""
    parser.description = (
        "Make a table from the captures of runs: the rows that a run of collect would have written, with the same "
        "columns. The events beside the captures end segments where data is missing."
    )
    parser.add_argument("paths", nargs="+", type=existing, metavar="PATH", help="captures, or the folder of their runs")
    parser.add_argument(
        "--to",
        required=True,
        choices=("ticks", "quotes", "orders", "executions", "pnl", "account_summary", "ledger"),
        help="the table to make",
    )
    parser.add_argument(
        "--out", type=folder, required=True, metavar="DIR", help="folder for the files; created if missing"
    )
    parser.add_argument(
        "--fields",
        type=fields,
        metavar="A,B",
        help="fields with a column, by key or code (default: those that the run subscribed to)",
    )
    parser.add_argument(
        "--file-mode",
        type=file_mode,
        default=0o600,
        metavar="MODE",
        help="permissions of the files in octal, such as 640 (default: 600, for their owner only)",
    )
    set_command(parser, _convert)


def _convert(args: argparse.Namespace) -> int:
    from . import convert_command

    return convert_command.run(args)
