"""Settings: merges the command line, environment variables, a TOML file and defaults into the arguments of a command"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from cpapi_fast.cli.arguments import new_file

from .errors import SettingsError
from .toml_file import TomlEntry, read_toml
from .values import WrongValueError, from_file, from_text

#: The start of the names of environment variables.
PREFIX: Final = "CPAPI_FAST_"

#: The variable that names the file.
_CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"

#: Options that are given on the command line only. The file itself may also be named by a variable.
_ONLY_GIVEN: Final = frozenset({"help", "check", "config"})

#: The names of variables that resemble no option are of the build, the tests or another program.
_RESEMBLANCE: Final = 0.75

#: What an option makes meaningless. What a source sets is removed if a source with precedence sets its key here.
_EXCLUDES: Final[Mapping[str, tuple[str, ...]]] = {
    "simulate": ("tls_verify", "ca_file", "fingerprint", "insecure", "contract_cache"),
    "url": ("seed", "speed", "rate", "replay"),
}

#: The sources by precedence.
GIVEN, ENVIRONMENT, FILE, DEFAULT = range(4)


@dataclass(frozen=True)
class Setting:
    """The value of one option.

    Attributes:
        value: the value.
        source: `GIVEN`, `ENVIRONMENT`, `FILE` or `DEFAULT`.
        where: the source in words, such as `collect.toml:3`.
    """

    value: Any
    source: int
    where: str

    @property
    def is_configured(self) -> bool:
        """Whether it is from a file or a variable."""
        return self.source in (ENVIRONMENT, FILE)


class Settings:
    """The settings of a command.

    Create it before the arguments are parsed: then the parser returns only what the command line has.

    Args:
        parser: the parser of the command, with all of its options.
        environment: the environment variables.
    """

    def __init__(self, parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
        self._environment: Final = dict(environment)
        #: The options by key, which is the option without its dashes.
        self.actions: Final[dict[str, argparse.Action]] = {}
        self._defaults: Final[dict[str, Any]] = {}
        #: What has to be set, each with one of these options.
        self._required: Final[list[tuple[str, ...]]] = []
        self._groups: Final = [
            tuple(action.dest for action in group._group_actions) for group in parser._mutually_exclusive_groups
        ]
        #: The setting of each option, by key, as the run began.
        self.current: dict[str, Setting] = {}
        self._config: str | None = None
        self._given: dict[str, Any] = {}
        for action in parser._actions:
            if not action.option_strings or action.dest in _ONLY_GIVEN:
                continue
            self.actions[action.option_strings[-1].lstrip("-")] = action
            self._defaults[action.dest] = action.default
            if action.required:
                self._required.append((action.dest,))
        for group in parser._mutually_exclusive_groups:
            if group.required:
                self._required.append(tuple(action.dest for action in group._group_actions))
            group.required = False
        self._by_dest: Final = {action.dest: key for key, action in self.actions.items()}
        # `from_file` needs the defaults, so they are taken away only while the command line is parsed.
        self._parser: Final = parser
        for action in self.actions.values():
            action.required = False
            action.default = argparse.SUPPRESS

    def complete(self, args: argparse.Namespace) -> None:
        """Add to the arguments of the command line what the other sources have.

        Args:
            args: the arguments, which are changed.

        Raises:
            SettingsError: the file or a variable is wrong, or a required option is missing.
        """
        for action in self.actions.values():
            action.default = self._defaults[action.dest]
        self._given = {dest: getattr(args, dest) for dest in self._defaults if hasattr(args, dest)}
        self._config = getattr(args, "config", None) or self._environment.get(_CONFIG_VARIABLE) or None
        args.config = self._config
        self.current = self._read(again=False)
        if missing := self._missing(self.current):
            # As for a command without a configuration.
            args.refuse(f"{missing}; or give it in the file of --config")
        for key, setting in self.current.items():
            setattr(args, self.actions[key].dest, setting.value)

    def read_again(self) -> dict[str, Setting]:
        """Read the file again, and return the setting of each option, by key, without those of files to create.

        Raises:
            SettingsError: the file or a variable is wrong.
        """
        found = self._read(again=True)
        if missing := self._missing(found):
            raise SettingsError([f"{self._config}: {missing}"])
        return found

    def _read(self, *, again: bool) -> dict[str, Setting]:
        problems: list[str] = []
        by_source = {
            GIVEN: {dest: Setting(value, GIVEN, "command line") for dest, value in self._given.items()},
            ENVIRONMENT: self._of_environment(problems, again),
            FILE: self._of_file(problems, again),
        }
        for source in (ENVIRONMENT, FILE):
            problems += self._exclusions(by_source[source])
        merged: dict[str, Setting] = {}
        for source in (GIVEN, ENVIRONMENT, FILE):
            new = {dest: one for dest, one in by_source[source].items() if dest not in merged}
            excluded = self._excluded_by(merged)
            merged |= {dest: one for dest, one in new.items() if dest not in excluded}
        if problems:
            raise SettingsError(problems)
        return {
            key: merged.get(action.dest) or Setting(self._defaults[action.dest], DEFAULT, "default")
            for key, action in self.actions.items()
        }

    def _of_environment(self, problems: list[str], again: bool) -> dict[str, Setting]:
        found: dict[str, Setting] = {}
        names = {_variable(key): key for key in self.actions}
        for name, text in sorted(self._environment.items()):
            # An empty variable is what a container file leaves of an unset one.
            if not name.startswith(PREFIX) or not text or name == _CONFIG_VARIABLE:
                continue
            where = f"environment variable {name}"
            if name not in names:
                if similar := _similar(name, names, _RESEMBLANCE):
                    problems.append(f"{where}: there is no such option; did you mean {similar}?")
                continue
            action = self.actions[names[name]]
            if again and action.type is new_file:
                continue
            try:
                found[action.dest] = Setting(from_text(action, text), ENVIRONMENT, where)
            except WrongValueError as exc:
                problems.append(f"{where}: {names[name]}: {exc}")
        return found

    def _of_file(self, problems: list[str], again: bool) -> dict[str, Setting]:
        if self._config is None:
            return {}
        found: dict[str, Setting] = {}
        for entry in read_toml(self._config):
            where = f"{self._config}:{entry.line}"
            action = self.actions.get(entry.key)
            if action is None:
                problems.append(f"{where}: there is no option {entry.key[:80]!r}{_hint(entry.key, self.actions)}")
                continue
            if again and action.type is new_file:
                continue
            try:
                found[action.dest] = Setting(from_file(action, entry.value), FILE, where)
            except WrongValueError as exc:
                problems.append(f"{self._place(entry, exc)}: {entry.key}: {exc}")
        return found

    def _place(self, entry: TomlEntry, error: WrongValueError) -> str:
        line = entry.line if error.element is None else entry.line_of(error.element)
        return f"{self._config}:{line}"

    def _exclusions(self, found: Mapping[str, Setting]) -> Iterable[str]:
        """Yield what one source sets although its options exclude each other."""
        for group in self._groups:
            first, *others = [dest for dest in group if dest in found and found[dest].value] or [""]
            for dest in others:
                yield (
                    f"{found[dest].where}: {self._by_dest[dest]} cannot be used with {self._by_dest[first]} "
                    f"({found[first].where}); remove one of them"
                )

    def _excluded_by(self, merged: Mapping[str, Setting]) -> set[str]:
        chosen = {dest for dest, one in merged.items() if one.value}
        found: set[str] = set()
        for group in self._groups:
            if chosen.intersection(group):
                found |= set(group)
        for dest in chosen & _EXCLUDES.keys():
            found |= set(_EXCLUDES[dest])
        return found

    def _missing(self, found: Mapping[str, Setting]) -> str:
        """Return what is required and not set, as text; empty if nothing is missing."""
        missing = [
            " or ".join(f"--{self._by_dest[dest]}" for dest in group)
            for group in self._required
            if not any(found[self._by_dest[dest]].value for dest in group)
        ]
        return f"the following arguments are required: {', '.join(missing)}" if missing else ""


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace("-", "_")


def _hint(key: str, known: Iterable[str]) -> str:
    if key in _ONLY_GIVEN:
        return f"; give --{key} on the command line"
    similar = _similar(key, known)
    return f"; did you mean {similar}?" if similar else "; `cpapi-fast collect --help` lists the options"


def _similar(name: str, known: Iterable[str], resemblance: float = 0.6) -> str:
    by_form = {_form(one): one for one in known}
    close = get_close_matches(_form(name), by_form, n=1, cutoff=resemblance)
    return by_form[close[0]] if close else ""


def _form(name: str) -> str:
    return re.sub("[-_ ]", "", name.removeprefix(PREFIX)).lower()
