"""CollectOptions: what a `Collector` collects, and where it writes the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

from cpapi_fast.errors import ConfigError, SubscriptionError
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.feed.subscription import send_nothing
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.option_values import check_flag, check_positive, check_whole
from cpapi_fast.outputs.capture_messages import CaptureCompression, checked_compression
from cpapi_fast.outputs.contract.options import OutputOptions, QueuePolicy
from cpapi_fast.outputs.kafka.options import OUTPUT_OPTIONS, KafkaOptions
from cpapi_fast.outputs.output_file import LostFiles
from cpapi_fast.outputs.tables.account_schema import ACCOUNT_TABLES, AccountTableName
from cpapi_fast.outputs.tables.schema import TableName
from cpapi_fast.protocol.contracts.symbols import SymbolQuery
from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.protocol.instruments import market_data_target
from cpapi_fast.protocol.topics import Fields, MarketDataFields, Subscription, check_account
from cpapi_fast.redaction import repr_without_accounts, shown

#: The policy while the disk is slower than the data: stop reading the socket, or drop frames.
SlowDisk = Literal["hold", "drop_oldest", "drop_newest"]

#: The policy of the queues of the files for each of them.
_QUEUE_POLICIES: Final[Mapping[SlowDisk, QueuePolicy]] = {
    "hold": "block",
    "drop_oldest": "drop_oldest",
    "drop_newest": "drop_newest",
}

#: The outputs that write the files of a run.
FILE_OUTPUTS: Final = ("capture", *get_args(TableName), *ACCOUNT_TABLES, "events")

#: The modes with which the owner can read and write, and nobody can execute.
_FILE_MODES: Final = frozenset(PRIVATE_MODE | others for others in range(0o67) if not others & 0o11)


@repr_without_accounts
@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """Options of a `Collector`. Durations are seconds of the client's clock.

    Args:
        conids: the instruments to subscribe to: conids, or texts such as `265598@NYSE` and
            `28812380;;;8314/1,8894/-1`; duplicates count once.
        symbols: further instruments, by symbol: stocks (`AAPL@NASDAQ`, `AAPL:USD`), futures by the symbol of their
            underlying at IB, month and year (`ESZ6`), currency pairs (`EUR.USD`); see `resolve_symbols`. They are
            resolved before the feed starts.
        out: the folder for the files; created if missing.
        fields: the fields to subscribe to, by key or code, besides symbol and availability. The tables have a column
            for each of them, and for each of the L1 fields.
        tables: the tables of market data to write: `quotes`, the whole state of an instrument after each frame,
            `ticks`, each frame as sent, or both. The default is `quotes`, because it needs no further work before an
            analysis; what was sent is in the capture too.
        orders: whether to subscribe to orders, and to write the table `orders`: the whole state of an order after each
            update.
        executions: of how many days to collect the executions, from 1 to 7, into the table `executions`; True is one
            day, 0 or False is none. The gateway sends those of the last days after each subscribe.
        pnl: whether to subscribe to profit and loss, and to write the table `pnl`.
        summary: the accounts whose summary to collect into the table `account_summary`; duplicates count once.
        ledger: the accounts whose balances by currency to collect into the table `ledger`; duplicates count once.
        duration_s: when to stop; None for never.
        give_up_after_s: end with an error after this long without data, at the start or later; None for never, so that
            the run continues after every login and every reset of the gateway.
        flush_interval_s: the longest time until a frame is in the capture.
        roll_interval_s: the time after which a file of the capture or of a table is finished and the next begins.
        roll_bytes: the size at which a file of the capture or of the events is finished and the next begins.
        max_queue_bytes: how many bytes may wait for the disk before `slow_disk` applies. The outputs share them.
        slow_disk: `hold` stops reading the socket until the disk has caught up, so that nothing is dropped here;
            `drop_oldest` and `drop_newest` drop frames from the queue of each output that is behind, and report them.
        output_options: options of single outputs by name, such as `{"capture": OutputOptions(...)}`, instead of those
            that follow from `max_queue_bytes` and `slow_disk`. The files are `capture`, `quotes`, `ticks`, `orders`,
            `executions`, `pnl`, `account_summary`, `ledger` and `events`; the output for Kafka is `kafka`, and an
            output of the program has its own name.
        lost_files: what to do when another program deletes, moves or changes a file that is being written: `recreate`
            continues in a new file, `fail` ends the run. In both cases the run ends with an error if anything was lost.
        file_mode: the permissions of the files; by default, only their owner can read them. The folder keeps its own.
        redact_captures: whether to replace session ids, accounts, user names and tokens in the capture, at the same
            length, so that a capture can be attached to a bug report. The tables of orders, executions, profit and
            loss and accounts have the accounts all the same.
        capture_compression: `lz4`, or `zstd`, which makes the capture about 40 % smaller and takes more time.
        trading_hours: outside of its trading hours, an instrument is not stale. `schedule` requests the schedule of
            each instrument; `TradingHours` are those of all instruments; None for none.
        kafka: sends the frames, events and rows to a Kafka cluster too; None for none. What it has not acknowledged is
            kept in `out`.
        feed: options of the feed. Its `overload`, `last_values` and `log_trouble` are ignored.

    Raises:
        ConfigError: a duration or size is not a finite number above zero, or another option is invalid.
        SubscriptionError: an instrument, a symbol, a field, an account or the number of days is invalid.
    """

    conids: tuple[int | str, ...] = ()
    symbols: tuple[str, ...] = ()
    out: Path
    fields: Fields = field(default_factory=MarketDataFields.default_l1)
    tables: tuple[TableName, ...] = ("quotes",)
    orders: bool = False
    executions: int = 0
    pnl: bool = False
    summary: tuple[str, ...] = field(default=(), repr=False)
    ledger: tuple[str, ...] = field(default=(), repr=False)
    duration_s: float | None = None
    give_up_after_s: float | None = None
    flush_interval_s: float = 1.0
    roll_interval_s: float = 300.0
    max_queue_bytes: int = 32 * 1024 * 1024
    slow_disk: SlowDisk = "hold"
    output_options: Mapping[str, OutputOptions] = field(default_factory=dict)
    roll_bytes: int = 1024 * 1024 * 1024
    lost_files: LostFiles = "recreate"
    file_mode: int = PRIVATE_MODE
    redact_captures: bool = False
    capture_compression: CaptureCompression = "lz4"
    trading_hours: TradingHours | Literal["schedule"] | None = "schedule"
    kafka: KafkaOptions | None = None
    feed: FeedOptions = field(default_factory=FeedOptions)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name in ("duration_s", "give_up_after_s"):
                continue
            if name.endswith("_s"):
                check_positive(name, value)
            elif name.endswith("_bytes"):
                check_whole(name, value)
        for name in ("orders", "pnl", "redact_captures"):
            check_flag(name, getattr(self, name))
        days = int(self.executions) if isinstance(self.executions, bool) else self.executions
        if type(days) is not int or days:
            Subscription.executions(send_nothing, days=days)
        object.__setattr__(self, "executions", days)
        for name in ("summary", "ledger"):
            object.__setattr__(self, name, checked_accounts(name, getattr(self, name)))
        compression = checked_compression("capture_compression", self.capture_compression)
        object.__setattr__(self, "capture_compression", compression)
        if self.trading_hours not in ("schedule", None) and not isinstance(self.trading_hours, TradingHours):
            raise ConfigError("trading_hours must be 'schedule', TradingHours or None")
        if self.kafka is not None and not isinstance(self.kafka, KafkaOptions):
            raise ConfigError(f"kafka must be KafkaOptions or None, not {shown(self.kafka)}")
        if not isinstance(self.feed, FeedOptions):
            raise ConfigError(f"feed must be FeedOptions, not {type(self.feed).__name__}")
        if self.slow_disk not in get_args(SlowDisk):
            raise ConfigError(f"slow_disk must be one of {', '.join(get_args(SlowDisk))}, not {self.slow_disk!r}")
        object.__setattr__(self, "output_options", _checked_output_options(self.output_options))
        if self.lost_files not in get_args(LostFiles):
            raise ConfigError(f"lost_files must be one of {', '.join(get_args(LostFiles))}, not {self.lost_files!r}")
        object.__setattr__(self, "tables", _checked_tables(self.tables))
        if type(self.file_mode) is not int or self.file_mode not in _FILE_MODES:
            raise ConfigError("file_mode must be a mode that the owner can read and write, such as 0o640")
        if not isinstance(self.fields, MarketDataFields):
            object.__setattr__(self, "fields", MarketDataFields(self.fields))
        if isinstance(self.conids, str):
            raise SubscriptionError(f"conids must be a list such as [265598, '265598@NYSE'], not {self.conids[:40]!r}")
        if isinstance(self.symbols, str):
            raise SubscriptionError(f"symbols must be a list such as ['AAPL', 'ESZ6'], not {self.symbols[:40]!r}")
        texts = dict.fromkeys(SymbolQuery.parse(symbol).text for symbol in self.symbols)
        object.__setattr__(self, "symbols", tuple(texts))
        by_target: dict[str, int | str] = {}
        for conid in self.conids:
            by_target.setdefault(market_data_target(conid), conid)
        object.__setattr__(self, "conids", tuple(by_target.values()))

    @property
    def account_tables(self) -> tuple[AccountTableName, ...]:
        """The tables of accounts to write."""
        wanted = (self.orders, self.executions, self.pnl, self.summary, self.ledger)
        return tuple(name for name, is_wanted in zip(ACCOUNT_TABLES, wanted, strict=True) if is_wanted)

    @property
    def consumer_bytes(self) -> int:
        """How many of `max_queue_bytes` may wait before the queues of the outputs."""
        return self.max_queue_bytes // 4 + 1

    def options_of(self, name: str) -> OutputOptions | None:
        """The options of an output; None for those that the output has itself."""
        is_kafka = name == "kafka" and self.kafka is not None
        if name in self.output_options or not (name in FILE_OUTPUTS or is_kafka):
            return self.output_options.get(name)
        policy, nbytes = _QUEUE_POLICIES[self.slow_disk], max(self.max_queue_bytes - self.consumer_bytes, 1)
        if is_kafka:
            return replace(OUTPUT_OPTIONS, policy=policy, max_queue_bytes=nbytes)
        return OutputOptions(
            policy=policy,
            max_queue_bytes=nbytes,
            batch_delay_s=0,
            on_failure="stop",
            # A disk that does not respond may come back, and a person can end the run at once.
            flush_deadline_s=None,
        )

    @property
    def given_hours(self) -> TradingHours | None:
        """The trading hours of all instruments, if the options have them."""
        return self.trading_hours if isinstance(self.trading_hours, TradingHours) else None


def checked_accounts(name: str, accounts: object) -> tuple[str, ...]:
    """Return accounts, each once. Messages do not show them.

    Args:
        name: the option, for the message.
        accounts: its value.

    Raises:
        SubscriptionError: it is no list of texts that can be part of a topic.
    """
    if isinstance(accounts, (str, bytes)) or not isinstance(accounts, Iterable):
        raise SubscriptionError(f"{name} must be a list of accounts, not a value of type {type(accounts).__name__}")
    found: dict[str, None] = {}
    for account in accounts:
        check_account(account)
        found[account] = None
    return tuple(found)


def _checked_output_options(given: object) -> Mapping[str, OutputOptions]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"output_options must be a dict of OutputOptions by name, not {shown(given)}")
    for name, options in given.items():
        if not isinstance(name, str) or not isinstance(options, OutputOptions):
            raise ConfigError(f"output_options must have OutputOptions by name, not {shown(options)} for {shown(name)}")
        if name in FILE_OUTPUTS and options.on_failure == "retry":
            raise ConfigError(
                f"the output {name!r} cannot be retried, because its file ends with the first failure; "
                "let its failure stop the run, or drop what it cannot write"
            )
    return dict(given)


def _checked_tables(tables: object) -> tuple[TableName, ...]:
    known = get_args(TableName)
    given = tuple(tables) if isinstance(tables, Iterable) and not isinstance(tables, (str, bytes)) else ()
    wrong = next((name for name in given if name not in known), None)
    if not given or wrong is not None:
        found = shown(tables if wrong is None else wrong)
        raise ConfigError(f"tables must be a list with one or more of {', '.join(known)}, not {found}")
    return tuple(dict.fromkeys(given))
