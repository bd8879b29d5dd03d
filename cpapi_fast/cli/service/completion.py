"""Writes scripts with which bash, zsh and fish complete the commands, options and values of the command line"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

#: What the metavar of an option says about its value.
_FILES: Final = frozenset({"FILE", "PEM", "PATH"})
_FOLDERS: Final = frozenset({"DIR"})

#: How much of a help text is shown next to an option.
_MAX_HELP: Final = 60


class _Option(NamedTuple):
    names: tuple[str, ...]
    help: str
    has_value: bool
    choices: tuple[str, ...]
    is_file: bool
    is_folder: bool


def completion_script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the script for one shell.

    Args:
        shell: a key of `SHELLS`.
        parser: the parser of all commands, with all of their options.
    """
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    options = {name: list(_options(one)) for name, one in commands.choices.items()}
    return SHELLS[shell](options, helps)


def _options(parser: argparse.ArgumentParser) -> Iterator[_Option]:
    for action in parser._actions:
        has_value = action.nargs != 0
        choices = tuple(map(str, action.choices or ()))
        metavar = str(action.metavar or "")
        text = re.sub(r"\s+", " ", (action.help or "").replace("%%", "%"))
        if len(text) > _MAX_HELP:
            text = f"{text[:_MAX_HELP].rpartition(' ')[0]} ..."
        yield _Option(tuple(action.option_strings), text, has_value, choices, metavar in _FILES, metavar in _FOLDERS)


_Options = dict[str, list[_Option]]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _bash(options: _Options, _helps: dict[str, str]) -> str:
    values: list[str] = []
    words: list[str] = []
    for command, ones in options.items():
        free: list[str] = []
        for one in ones:
            patterns = "|".join(_quoted(f"{command} {name}") for name in one.names)
            if one.choices and one.names:
                values.append(
                    f'    {patterns}) COMPREPLY=($(compgen -W {_quoted(" ".join(one.choices))} -- "$cur")); return ;;'
                )
            elif one.is_folder:
                values.append(f'    {patterns}) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return ;;')
            elif one.is_file:
                values.append(f'    {patterns}) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;')
            elif one.has_value and one.names:
                free.append(patterns)
        if free:
            values.append(f"    {'|'.join(free)}) return ;;")
        listed = " ".join(word for one in ones for word in (one.names or one.choices))
        words.append(f'    {_quoted(command)}) COMPREPLY=($(compgen -W {_quoted(listed)} -- "$cur")) ;;')
    return "\n".join(
        [
            '# bash completion of cpapi-fast: eval "$(cpapi-fast completion bash)"',
            "_cpapi_fast() {",
            "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' word IFS=$' \\t\\n'",
            "  COMPREPLY=()",
            '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            "    if [[ $word != -* ]]; then command=$word; break; fi",
            "  done",
            '  case "$command $prev" in',
            *values,
            "  esac",
            '  case "$command" in',
            f"    '') COMPREPLY=($(compgen -W {_quoted(' '.join([*options, '--help', '--version']))} -- \"$cur\")) ;;",
            *words,
            "  esac",
            "}",
            "complete -F _cpapi_fast cpapi-fast",
            "",
        ]
    )


def _zsh(options: _Options, helps: dict[str, str]) -> str:
    lines = ["#compdef cpapi-fast", "_cpapi_fast() {", "  local -a commands", "  commands=("]
    lines += ["    " + _quoted(f"{command}:{helps.get(command, '')}") for command in options]
    lines += [
        "  )",
        "  if (( CURRENT == 2 )); then _describe command commands; return; fi",
        '  local command="$words[2]"',
        "  shift words; (( CURRENT-- ))",
        '  case "$command" in',
    ]
    for command, ones in options.items():
        lines.append(f"    {command}) _arguments \\")
        for one in ones:
            action = _zsh_action(one)
            for name in one.names or ("1",):
                text = re.sub(r"([\[\]:\\])", r"\\\1", one.help)
                head = f"*{name}[{text}]" if one.names else name
                lines.append(f"      {_quoted(f'{head}{action}')} \\")
        lines.append("      ;;")
    lines += ["  esac", "}", "compdef _cpapi_fast cpapi-fast", ""]
    return "\n".join(lines)


def _zsh_action(one: _Option) -> str:
    if one.choices:
        return f":value:({' '.join(one.choices)})"
    if one.is_folder:
        return ":folder:_files -/"
    if one.is_file:
        return ":file:_files"
    return ":value: " if one.has_value else ""


def _fish(options: _Options, helps: dict[str, str]) -> str:
    lines = ["# fish completion of cpapi-fast: cpapi-fast completion fish | source", "complete -c cpapi-fast -f"]
    lines += [
        f"complete -c cpapi-fast -n __fish_use_subcommand -a {command} -d {_fish_quoted(helps.get(command, ''))}"
        for command in options
    ]
    for command, ones in options.items():
        begin = f"complete -c cpapi-fast -n '__fish_seen_subcommand_from {command}'"
        for one in ones:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in one.names)
            value = ""
            if one.choices:
                value = f" -x -a {_fish_quoted(' '.join(one.choices))}"
            elif one.is_folder:
                value = " -x -a '(__fish_complete_directories)'"
            elif one.has_value:
                value = " -r -F" if one.is_file else " -x"
            lines.append(f"{begin} {names}{value} -d {_fish_quoted(one.help)}".replace("  ", " "))
    return "\n".join([*lines, ""])


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


#: The shells, each with the function that writes its script.
SHELLS: Final[dict[str, Callable[[_Options, dict[str, str]], str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
