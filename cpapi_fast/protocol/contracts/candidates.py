"""Candidates: the contracts that a symbol may name, and the error that tells them apart"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_letters
from typing import Final

from cpapi_fast.errors import SymbolError
from cpapi_fast.redaction import redact_accounts

from .symbols import ResolvedSymbol, SymbolQuery

#: How many symbols an error names, how many contracts of each, and how many reasons.
_MAX_SYMBOLS: Final = 20
_MAX_CANDIDATES: Final = 8
_MAX_PROBLEMS: Final = 3

_NO_CONTRACT: Final = (
    "Check its spelling and capitals. A future has its month and year, as in ESZ6, and a currency pair a dot, as in "
    "EUR.USD. Another contract, such as an index, is given by its conid as conids=..."
)
_BY_CONID: Final = "the conid as conids=..."


@dataclass(slots=True)
class Candidates:
    """The contracts that a symbol may name. A conid may have several listings, which differ in their exchange.

    Attributes:
        contracts: the contracts.
        others: contracts of the symbol that have another exchange or currency.
        problems: why it is not certain that these are all, as text.
    """

    contracts: list[ResolvedSymbol] = field(default_factory=list)
    others: list[ResolvedSymbol] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, contracts: Iterable[ResolvedSymbol]) -> None:
        """Add contracts."""
        self.contracts = list({(one.conid, one.exchange): one for one in (*self.contracts, *contracts)}.values())

    def add_unknown(self, contract: ResolvedSymbol) -> None:
        """Add a contract that may be the one, or not, because the terms that decide are not known."""
        self.add([contract])
        self.problems.append(f"the terms of conid {contract.conid} are not known")

    @property
    def are_clear(self) -> bool:
        """Whether it is certain which contract is named."""
        return len({one.conid for one in self.contracts}) == 1 and not self.problems


def symbol_error(unresolved: Mapping[str, Candidates]) -> SymbolError:
    """Return the error that names each symbol with no or several contracts, and what tells these apart."""
    parts = [_part(_shown(text), found) for text, found in list(unresolved.items())[:_MAX_SYMBOLS]]
    if len(unresolved) > _MAX_SYMBOLS:
        parts.append(f"{len(unresolved) - _MAX_SYMBOLS} more symbols")
    candidates = {text: tuple(found.contracts) for text, found in unresolved.items()}
    return SymbolError(f"{'. '.join(parts)}. {_advice(unresolved)}", candidates=candidates)


def _part(text: str, found: Candidates) -> str:
    """Return the part of an error about one symbol."""
    problems = list(dict.fromkeys(found.problems))
    more = len(problems) - _MAX_PROBLEMS
    why = "; ".join(problems[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    if not found.contracts:
        if why:
            return f"{text} is not clear: {why}"
        if found.others:
            return f"{text} names no contract; there is {_listed(found.others)}"
        if text.isdigit():
            return f"{text} is no symbol; give a conid as conids=..."
        return f"{text} names no stock, future or currency pair"
    what = f"is not clear, because {why}" if why else "is ambiguous"
    return f"{text} {what}: {_listed(found.contracts)}"


def _shown(text: str) -> str:
    """Return a symbol for the message, which shows nothing that may be an account: of such a symbol only its start."""
    if redact_accounts(text) == text:
        return text
    letters = text[: len(text) - len(text.lstrip(ascii_letters))]
    return f"{letters}… ({len(text)} characters)"


def _listed(contracts: Sequence[ResolvedSymbol]) -> str:
    more = len(contracts) - _MAX_CANDIDATES
    return "; ".join(_choices(contracts[:_MAX_CANDIDATES])) + (f"; and {more} more" if more > 0 else "")


def _choices(contracts: Sequence[ResolvedSymbol]) -> Iterable[str]:
    names = [_name(one) for one in contracts]
    for one, name in zip(contracts, names, strict=True):
        # A name that two of them share would choose none of them.
        is_choice = name and names.count(name) == 1
        yield f"{name} ({differences(one)})" if is_choice else differences(one)


def _name(one: ResolvedSymbol) -> str:
    """Return the symbol with the exchange; empty without one."""
    return f"{SymbolQuery.parse(one.text).symbol}@{one.exchange}" if one.exchange else ""


def differences(one: ResolvedSymbol) -> str:
    """Return what tells a contract apart from others of the same symbol."""
    known = [one.sec_type, one.exchange, one.currency, one.contract_month]
    if one.sec_type == "FUT":
        known += [one.local_symbol, one.trading_class]
        known.append(f"multiplier {one.multiplier:g}" if one.multiplier is not None else "")
    return ", ".join([f"conid {one.conid}", *(part for part in dict.fromkeys((*known, one.name)) if part)])


def _advice(unresolved: Mapping[str, Candidates]) -> str:
    """Return what to do: it names what tells the contracts apart."""
    several = {text: found.contracts for text, found in unresolved.items() if len(found.contracts) > 1}
    if not several:
        if any(not (found.contracts or found.others or found.problems) for found in unresolved.values()):
            return _NO_CONTRACT
        is_listed = any(found.contracts or found.others for found in unresolved.values())
        return f"{'Give one of these' if is_listed else 'Try again later'}, or give {_BY_CONID}"
    ways: dict[str, str] = {}
    for text, contracts in several.items():
        query = SymbolQuery.parse(text)
        for what, value_of, example in _WAYS:
            values = {value_of(query, one) for one in contracts}
            if what not in ways and len(values) > 1 and (value := min(values - {""}, default="")):
                ways[what] = f"{what}, as in {example(query, value)}"
    return f"Give {'; or '.join([*ways.values(), _BY_CONID])}"


#: What a user can add to a symbol, the value of a contract for it, and an example of the symbol with it.
_WAYS: Final[
    tuple[tuple[str, Callable[[SymbolQuery, ResolvedSymbol], str], Callable[[SymbolQuery, str], str]], ...]
] = (
    (
        "the exchange",
        lambda query, one: "" if query.exchange else one.exchange,
        lambda query, exchange: f"{query.symbol}@{exchange}",
    ),
    (
        "the currency",
        lambda query, one: "" if query.currency else one.currency,
        lambda query, currency: f"{query.symbol}:{currency}",
    ),
    (
        "the year with two digits",
        lambda query, one: one.contract_month[2:4] if len(query.year) == 1 else "",
        lambda query, year: f"{query.symbol[:-1]}{year}",
    ),
)
