"""The columns of the tables of accounts: orders, executions, profit and loss, account summary and ledger"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, get_args

from cpapi_fast._version import __version__
from cpapi_fast.messages.account import LedgerRow, PnlRow, SummaryRow
from cpapi_fast.messages.member import JsonObject, Member, TextMember
from cpapi_fast.messages.member_types import (
    FlagMember,
    FunctionMember,
    IdMember,
    IntegerMember,
    MillisecondsMember,
    NumberMember,
    SecondsMember,
)
from cpapi_fast.messages.orders import Execution, OrderUpdate
from cpapi_fast.outputs.interface import import_arrow

from .schema import FORMAT_VERSION

#: The tables of accounts. Each has the rows of one topic.
AccountTableName = Literal["orders", "executions", "pnl", "account_summary", "ledger"]

ACCOUNT_TABLES: Final[tuple[AccountTableName, ...]] = get_args(AccountTableName)

#: The type of the column of each type of member. An enum is the text on the wire, so that no value is lost.
_TYPES: Final[dict[type[Member[Any]], str]] = {
    TextMember: "text",
    IdMember: "text",
    FunctionMember: "wire text",
    NumberMember: "float64",
    IntegerMember: "int64",
    FlagMember: "bool",
    MillisecondsMember: "time",
    SecondsMember: "time",
}

_OTHER: Final = (
    "JSON object with the members that have no column, and with the values that are not of the kind of their column; "
    "null: none"
)


class OwnColumn(NamedTuple):
    """A column that is no member of a message.

    Attributes:
        name: its name.
        type_name: `received`, `text`, `int64` or `bool`.
        meaning: its description.
        nullable: whether it can be null.
    """

    name: str
    type_name: str
    meaning: str
    nullable: bool = True


class MemberColumn(NamedTuple):
    """The column of a member.

    Attributes:
        name: its name, which is that of the attribute of the message.
        key: the key of the member.
        meaning: its description.
        type_name: `text`, `wire text`, `float64`, `int64`, `bool` or `time`.
    """

    name: str
    key: str
    meaning: str
    type_name: str


class AccountTable(NamedTuple):
    """What a table of accounts consists of.

    Attributes:
        name: its name.
        row_class: the class of the objects in the messages.
        rows: what a row is.
        account_keys: the members that name the account of a row, the best first; empty if it is known otherwise.
        own: the columns before those of the members.
    """

    name: AccountTableName
    row_class: type[JsonObject]
    rows: str
    account_keys: tuple[str, ...]
    own: tuple[OwnColumn, ...]

    @property
    def members(self) -> tuple[MemberColumn, ...]:
        """The columns of the members: one for each key, except for those in `account_keys`."""
        found: dict[str, MemberColumn] = {}
        for name, member in self.row_class.members().items():
            # Times have a second attribute, which is an integer; the executions have two for the account.
            if member.key not in found and member.key not in self.account_keys[:1] and name != "account":
                found[member.key] = MemberColumn(name, member.key, member.meaning, _TYPES[type(member)])
        return tuple(found.values())


_RECEIVED: Final = OwnColumn("received", "received", "receive time, one per socket read", nullable=False)
_ACCOUNT: Final = OwnColumn("account", "text", "the account")

_TABLES: Final = {
    table.name: table
    for table in (
        AccountTable(
            "orders",
            OrderUpdate,
            "one per update of an order, with the whole state of the order after it, as far as it is known; null: no "
            "value, or none was received in this segment. A list without orders has one row, without an order",
            ("acct", "account"),
            (
                _RECEIVED._replace(meaning="receive time of the update, one per socket read"),
                _ACCOUNT,
                OwnColumn(
                    "segment",
                    "int64",
                    "values are carried forward within a segment only: another number follows each interruption. It is "
                    "the receive time of the first row in ns since the Unix epoch, or a higher number",
                    nullable=False,
                ),
                OwnColumn(
                    "is_listed",
                    "bool",
                    "whether the row is from the list of all orders, which is requested over REST after each subscribe",
                    nullable=False,
                ),
            ),
        ),
        AccountTable(
            "executions",
            Execution,
            "one per execution, and a further one for each change of it: when its commission is known. What the "
            "gateway sends again without a change has no row",
            ("account", "accountCode"),
            (_RECEIVED, _ACCOUNT),
        ),
        AccountTable(
            "pnl",
            PnlRow,
            "one per update of profit and loss and row in it, as sent; null: not in this update, or no value",
            (),
            (_RECEIVED, _ACCOUNT, OwnColumn("name", "text", "the name of the row: the account, and a part of it")),
        ),
        AccountTable(
            "account_summary",
            SummaryRow,
            "one per update and value in it, as sent; null: not in this update, or no value",
            (),
            (_RECEIVED, _ACCOUNT),
        ),
        AccountTable(
            "ledger",
            LedgerRow,
            "one per update and currency in it, as sent; null: not in this update, or no value. A currency without a "
            "change has key and timestamp only",
            (),
            (_RECEIVED, _ACCOUNT),
        ),
    )
}


def account_table(name: AccountTableName) -> AccountTable:
    """Return what a table of accounts consists of."""
    return _TABLES[name]


def orders_schema() -> Any:
    """Return the pyarrow schema of the table `orders`; see `account_table_schema`."""
    return account_table_schema("orders")


def executions_schema() -> Any:
    """Return the pyarrow schema of the table `executions`; see `account_table_schema`."""
    return account_table_schema("executions")


def pnl_schema() -> Any:
    """Return the pyarrow schema of the table `pnl`; see `account_table_schema`."""
    return account_table_schema("pnl")


def account_summary_schema() -> Any:
    """Return the pyarrow schema of the table `account_summary`; see `account_table_schema`."""
    return account_table_schema("account_summary")


def ledger_schema() -> Any:
    """Return the pyarrow schema of the table `ledger`; see `account_table_schema`."""
    return account_table_schema("ledger")


def account_table_schema(name: AccountTableName) -> Any:
    """Return the pyarrow schema of a table of accounts, with descriptions and the version of the schema as metadata.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    pa = import_arrow("pyarrow")
    types = {
        "received": pa.timestamp("ns", "UTC"),
        "time": pa.timestamp("ms", "UTC"),
        "text": pa.dictionary(pa.int32(), pa.string()),
        "wire text": pa.dictionary(pa.int32(), pa.string()),
        "float64": pa.float64(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
    }
    table = _TABLES[name]
    columns = [
        pa.field(own.name, types[own.type_name], nullable=own.nullable, metadata={"description": own.meaning})
        for own in table.own
    ]
    for column in table.members:
        described = {"description": column.meaning, "key": column.key}
        columns.append(pa.field(column.name, types[column.type_name], metadata=described))
    columns.append(pa.field("other", pa.string(), metadata={"description": _OTHER}))
    return pa.schema(
        columns,
        metadata={
            "cpapi_fast.format": table.name,
            "cpapi_fast.format_version": FORMAT_VERSION,
            "cpapi_fast.version": __version__,
            "cpapi_fast.rows": table.rows,
        },
    )
