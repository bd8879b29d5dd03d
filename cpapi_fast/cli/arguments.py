"""The values of options: their parsers, and the options that several commands share."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from cpapi_fast.errors import CpapiError, SubscriptionError
from cpapi_fast.protocol.contracts.symbols import SymbolQuery
from cpapi_fast.protocol.fields import field_code, similar_keys
from cpapi_fast.protocol.instruments import market_data_target, split_instruments
from cpapi_fast.redaction import shown

from .option_names import OptionNames

#: Options for a simulated gateway only.
SIMULATOR_OPTIONS: Final = ("seed", "speed", "rate", "replay")

#: What `--conids` takes.
_INSTRUMENTS: Final = (
    "instruments to %s: conids, conids on one exchange (265598@NYSE), or combinations with the conid and ratio of each "
    "leg ('28812380;;;8314/1,8894/-1', in quotes); may be repeated"
)


class Extend(argparse.Action):
    """Adds the values of a repeated option, as a tuple."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        _option: str | None = None,
    ) -> None:
        """Add the values; called by the parser."""
        setattr(namespace, self.dest, (*(getattr(namespace, self.dest, None) or ()), *(values or ())))


def add_instruments(parser: argparse.ArgumentParser, purpose: str, *, has_symbols: bool = False) -> None:
    """Add `--conids` and `--fields`, and `--symbols` for a command that resolves them. All may be repeated."""
    parser.add_argument(
        "--conids", type=instruments, action=Extend, default=(), metavar="A,B", help=_INSTRUMENTS % purpose
    )
    if has_symbols:
        parser.add_argument(
            "--symbols",
            type=symbols,
            action=Extend,
            default=(),
            metavar="A,B",
            help="symbols of instruments: stocks (AAPL@NASDAQ, AAPL:USD), futures (ESZ6: symbol of the underlying at "
            "IB, letter of the month, year), currency pairs (EUR.USD); an ambiguous one is an error that lists its "
            "contracts; may be repeated",
        )
        parser.add_argument(
            "--conids-file",
            metavar="FILE",
            help="further instruments, one per line; # begins a comment",
        )
        parser.add_argument(
            "--symbols-file",
            metavar="FILE",
            help="symbols of further instruments, one per line; # begins a comment",
        )
        parser.add_argument(
            "--contract-cache",
            nargs="?",
            const=True,
            type=folder,
            metavar="DIR",
            help="keep the contracts of symbols for a day in this folder, or without DIR in the system's folder for "
            "caches (default: request them at each start)",
        )
    parser.add_argument(
        "--fields",
        type=fields,
        action=Extend,
        metavar="A,B",
        help="fields to request by key or code (last_price,84), each of which gets a column; may be repeated "
        "(default: 31,84,86,85,88,87)",
    )


def add_account_tables(parser: argparse.ArgumentParser) -> None:
    """Add the options of `collect` for orders, executions, profit and loss, and accounts."""
    group = parser.add_argument_group(
        "orders and accounts", "each option subscribes, and writes a table of its own; the files contain accounts"
    )
    group.add_argument(
        "--orders", action="store_true", help="table orders: the whole state of an order after each update"
    )
    group.add_argument(
        "--executions",
        nargs="?",
        const=1,
        default=False,
        type=days,
        metavar="DAYS",
        help="table executions: each execution, and again with its commission; first those of the last DAYS days, from "
        "1 to 7 (default: 1)",
    )
    group.add_argument("--pnl", action="store_true", help="table pnl: profit and loss")
    for option, name, purpose in (
        ("--summary", "account_summary", "the values of the account summary"),
        ("--ledger", "ledger", "the balances of the account by currency"),
    ):
        group.add_argument(
            option,
            type=accounts,
            action=Extend,
            default=(),
            metavar="ACCOUNT",
            help=f"table {name}: {purpose}; may be repeated",
        )


def add_feed_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the feed that `collect` and `tail` have."""
    parser.add_argument(
        "--give-up-after",
        type=seconds,
        metavar="S",
        help="exit with an error after S seconds without data (default: never)",
    )
    parser.add_argument(
        "--competing",
        choices=("observe", "reclaim"),
        default="observe",
        help="if another login of this user has the session: wait (observe), or take the session back (reclaim) "
        "(default: observe)",
    )
    parser.add_argument(
        "--market-data-lines",
        type=whole_number,
        metavar="N",
        help="how many instruments the account may watch at once (default: 100)",
    )
    parser.add_argument(
        "--nightly-reset",
        type=daily_window,
        metavar="WINDOW",
        help="time of day of the gateway's reset, such as 23:40-00:45@Europe/Zurich, or none (default: around midnight "
        "in New York)",
    )
    parser.add_argument(
        "--record-decisions",
        type=new_file,
        metavar="FILE",
        help="write what the connection does and why to this new file, for a report of a problem; it contains no "
        "secret and no price",
    )


def add_metrics_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `collect` for metrics and health over HTTP."""
    group = parser.add_argument_group("metrics", "for Prometheus and for probes; off unless a port is given")
    group.add_argument(
        "--metrics-port",
        type=port,
        metavar="PORT",
        help="serve /metrics, /healthz and /readyz on this port; 0 takes a free one and prints it",
    )
    group.add_argument(
        "--metrics-host",
        metavar="HOST",
        help="address to listen on (default: 127.0.0.1). There is no login: let only a trusted network reach it",
    )
    group.add_argument(
        "--metrics-conids",
        type=few_conids,
        metavar="N",
        help="show the age of the last frame of the first N instruments one by one, at most 1000 (default: only the "
        "largest age)",
    )


def instruments(text: str) -> tuple[int | str, ...]:
    """Instruments separated by commas, conids as int."""
    found: list[int | str] = []
    for part in split_instruments(text):
        try:
            target = market_data_target(part)
        except SubscriptionError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None
        found.append(int(target) if target.isdigit() else target)
    return tuple(found)


def symbols(text: str) -> tuple[str, ...]:
    """Symbols separated by commas."""
    found: list[str] = []
    for part in text.split(","):
        try:
            found.append(SymbolQuery.parse(part).text)
        except SubscriptionError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None
    return tuple(found)


def instrument(text: str) -> int | str:
    """One instrument."""
    found = instruments(text)
    if len(found) != 1:
        raise argparse.ArgumentTypeError("give one conid, such as 265598")
    return found[0]


def fields(text: str) -> tuple[str, ...]:
    """Keys and codes of fields, separated by commas, as codes."""
    found: list[str] = []
    for part in map(str.strip, text.split(",")):
        try:
            found.append(field_code(part))
        except SubscriptionError:
            similar = similar_keys(part)
            raise argparse.ArgumentTypeError(
                f"a field must be a code such as 31 or a key such as last_price, not {shown(part)}"
                f"{'.' if similar else ''}{similar}"
            ) from None
    return tuple(found)


def tables(text: str) -> tuple[str, ...]:
    """Names of tables, separated by commas."""
    from cpapi_fast.outputs.tables.schema import TableName

    names = tuple(map(str.strip, text.split(",")))
    for name in names:
        if name not in get_args(TableName):
            raise argparse.ArgumentTypeError(
                f"a table must be one of {', '.join(get_args(TableName))}, not {shown(name)}"
            )
    return names


def accounts(text: str) -> tuple[str, ...]:
    """Accounts separated by commas."""
    from cpapi_fast.protocol.topics import check_account

    found = tuple(map(str.strip, text.split(",")))
    for account in found:
        try:
            check_account(account)
        except SubscriptionError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None
    return found


def days(text: str) -> int:
    """A number of days for which the gateway has executions."""
    if text not in tuple("1234567"):
        raise argparse.ArgumentTypeError(f"days must be a whole number from 1 to 7, not {shown(text)}")
    return int(text)


def seconds(text: str) -> float:
    """A finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def whole_number(text: str) -> int:
    """A whole number above zero."""
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def port(text: str) -> int:
    """A port, or 0 for a free one."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"a port must be a whole number from 0 to 65535, not {shown(text)}")
    return int(text)


def few_conids(text: str) -> int:
    """A whole number from 1 to 1,000."""
    number = whole_number(text)
    if number > 1000:
        raise argparse.ArgumentTypeError(f"at most 1000 instruments can be shown one by one, not {number:,}")
    return number


def daily_window(text: str) -> tuple[Any]:
    """A time of day, `START-END@ZONE`, as a tuple with one `DailyWindow`; with None for `none`."""
    from cpapi_fast.protocol.hours import DailyWindow

    if text == "none":
        return (None,)
    times, _, zone = text.partition("@")
    start, _, end = times.partition("-")
    try:
        return (DailyWindow(start, end, zone),)
    except CpapiError as exc:
        raise argparse.ArgumentTypeError(f"give it as 23:40-00:45@Europe/Zurich, or none: {exc}") from None


def folder(text: str) -> str:
    """The path of a folder, which need not exist."""
    # An unset shell variable would otherwise mean the current folder.
    if not text:
        raise argparse.ArgumentTypeError("give the path of a folder")
    path = Path(text)
    for one in (path, *path.parents):
        if os.path.lexists(one):
            if one.exists() and not one.is_dir():
                raise argparse.ArgumentTypeError(f"{one} is a file; give the path of a folder")
            break
    return text


def file_mode(text: str) -> int:
    """Permissions of a file, in octal. The library checks which ones are possible."""
    if not re.fullmatch("(?:0o)?[0-7]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a mode in octal, such as 640")
    return int(text, 8)


def new_file(text: str) -> str:
    """The path of a file that does not exist, in a folder that does."""
    path = Path(text)
    if not text or os.path.lexists(path):
        raise argparse.ArgumentTypeError(f"{text!r} exists; files are never overwritten, so give a new path")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent} is no folder; create it first, or give another path")
    return text


def existing(text: str) -> str:
    """The path of a file or folder that exists."""
    if not text or not Path(text).exists():
        raise argparse.ArgumentTypeError(f"{text!r} does not exist; give a file or a folder")
    return text


def set_command(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Set what `main` needs of a command, when all of its options are added."""
    parser.set_defaults(run=run, refuse=parser.error, names=OptionNames(parser))
