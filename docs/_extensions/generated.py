"""Directives whose content comes from the code: command help, tables of options, errors, fields and file columns."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.docutils import SphinxDirective

_ROOT = Path(__file__).parents[2]


def command_help(command: str) -> str:
    """What `cpapi-fast COMMAND --help` prints; of `cpapi-fast --help` for an empty command."""
    done = subprocess.run(
        [sys.executable, "-m", "cpapi_fast", *([command] if command else []), "--help"],
        cwd=_ROOT,
        env={**os.environ, "COLUMNS": "88", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def described(cls: type) -> dict[str, str]:
    """The text of each name in the `Args:` or `Attributes:` section of a docstring, in order."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    found: dict[str, str] = {}
    is_inside = False
    names: list[str] = []
    for line in lines:
        if line in ("Args:", "Attributes:"):
            is_inside = True
        elif line and not line.startswith(" "):
            is_inside = False
        elif is_inside and (match := re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)):
            names = match[1].split(", ")
            for name in names:
                found[name] = match[2]
        elif is_inside and line.strip():
            for name in names:
                found[name] += f" {line.strip()}"
    return found


def _default_text(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return f"{getattr(field.default_factory, '__qualname__', '?')}()"
    return ""


def _row(*cells: str) -> str:
    cells = tuple(cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(cells)} |"


def options_table(path: str) -> list[str]:
    """A dataclass of options as a table: name, default, meaning."""
    module, _, name = path.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    texts = described(cls)
    rows = [
        _row(f"`{field.name}`", f"`{_default_text(field)}`" if _default_text(field) else "required", texts[field.name])
        for field in dataclasses.fields(cls)
        if field.init
    ]
    return ["| option | default | meaning |", "|---|---|---|", *rows]


def attributes_table(path: str) -> list[str]:
    """The documented attributes of a class as a table: key, meaning."""
    module, _, name = path.rpartition(".")
    texts = described(getattr(importlib.import_module(module), name))
    return ["| key | meaning |", "|---|---|", *(_row(f"`{key}`", text) for key, text in texts.items())]


def errors_table() -> list[str]:
    """Every error of the library: name, base class, meaning, and whether a retry can help."""
    from cpapi_fast import errors

    rows = []
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.CpapiError):
            retryable = "yes" if value.is_retryable else "no"
            if name in ("StatusError", "HandshakeError"):
                retryable = "depends on the meaning"
            first = inspect.cleandoc(value.__doc__ or "").splitlines()[0]
            base = value.__mro__[1].__name__
            rows.append(_row(f"`{name}`", f"`{base}`", first, retryable))
    return ["| error | derives from | meaning | retryable |", "|---|---|---|---|", *rows]


def fields_table() -> list[str]:
    """Every known market data field: code, key, kind, unit, form, meaning, source."""
    from cpapi_fast.protocol.fields import FIELDS

    rows = [
        _row(
            *(f"`{code}`", f"`{field.key}`", field.kind.value, field.unit, field.form, field.meaning),
            f"{field.source}; recorded" if field.is_recorded else field.source,
        )
        for code, field in FIELDS.items()
    ]
    return ["| code | key | kind | unit | form | meaning | source |", "|---|---|---|---|---|---|---|", *rows]


#: Prints the members of all messages: attribute, key, type of the member, class of its rows, meaning.
_MEMBERS = """
import json
from cpapi_fast import messages
from cpapi_fast.protocol.fields import FIELDS
print(json.dumps({
    name: [
        (attribute, member.key, type(member).__name__, getattr(getattr(member, "row_class", None), "__name__", ""),
         member.meaning or FIELDS[member.key].meaning)
        for attribute, member in value.members().items()
    ]
    for name, value in vars(messages).items()
    if isinstance(value, type) and issubclass(value, messages.JsonObject)
}))
"""

_TYPES = {
    "NumberMember": "float",
    "IntegerMember": "int",
    "TextMember": "text",
    "IdMember": "text",
    "FlagMember": "bool",
    "MillisecondsMember": "datetime, from ms",
    "SecondsMember": "datetime, from seconds",
    "ListMember": "list",
    "ObjectMember": "dict",
}

#: The types of the attributes that a function converts.
_CONVERTED = {
    "accounts": "tuple of texts",
    "price": "float",
    "price_size": "float",
    "right": "`OptionRight`",
    "side": "`Side`",
    "start": "datetime, from seconds or ms",
    "status": "`OrderStatus`",
}


@functools.cache
def message_members() -> dict[str, list[list[str]]]:
    """The members of all messages, from a process of its own: this one has stubs in place of compiled modules."""
    done = subprocess.run([sys.executable, "-c", _MEMBERS], cwd=_ROOT, capture_output=True, text=True, check=True)
    found: dict[str, list[list[str]]] = json.loads(done.stdout)
    return found


def message_table(name: str) -> list[str]:
    """The members of a message or row: attribute, key on the wire, type, meaning."""
    rows = [
        _row(
            f"`{attribute}`",
            f"`{key}`",
            f"tuple of `{row_class}`" if row_class else _TYPES.get(kind) or _CONVERTED[attribute],
            meaning,
        )
        for attribute, key, kind, row_class, meaning in message_members()[name]
    ]
    return ["| attribute | key | type | meaning |", "|---|---|---|---|", *rows]


def schema_table(path: str) -> list[str]:
    """The columns of a pyarrow schema: name, type, meaning."""
    module, _, name = path.rpartition(".")
    schema = getattr(importlib.import_module(module), name)()
    rows = [
        _row(
            f"`{field.name}`",
            str(field.type) + ("" if field.nullable else ", never null"),
            field.metadata[b"description"].decode().replace("{", "").replace("}", ""),
        )
        for field in schema
    ]
    return ["| column | type | meaning |", "|---|---|---|", *rows]


#: Prints the settings of `collect`: key, kind of its value, meaning.
_SETTINGS = """
import argparse, json
from cpapi_fast.cli.config import Settings
from cpapi_fast.cli.config.values import is_flag, is_list
from cpapi_fast.cli.main import make_parser
commands = next(a for a in make_parser("collect")._actions if isinstance(a, argparse._SubParsersAction))
parser = commands.choices["collect"]
kinds = {
    action.dest: "flag" if is_flag(action) else "list" if is_list(action) else "flag or value" if action.nargs == "?"
    else " or ".join(json.dumps(one) for one in action.choices) if action.choices else "value"
    for action in parser._actions
}
settings = Settings(parser, {})
print(json.dumps([(key, kinds[one.dest], one.help.replace("%%", "%")) for key, one in settings.actions.items()]))
"""


def settings_table() -> list[str]:
    """The keys of the configuration of `collect`: key, variable, value, meaning."""
    done = subprocess.run([sys.executable, "-c", _SETTINGS], cwd=_ROOT, capture_output=True, text=True, check=True)
    rows = [
        _row(
            f"`{key}`", f"`CPAPI_FAST_{key.upper().replace('-', '_')}`", kind, re.sub(r"(--[a-z][\w-]*)", r"`\1`", text)
        )
        for key, kind, text in json.loads(done.stdout)
    ]
    return ["| key | variable | value | meaning |", "|---|---|---|---|", *rows]


_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)(\w?)")


def as_restructured_text(text: str) -> str:
    """A docstring with its `code` marked as reStructuredText marks code."""
    return _CODE.sub(lambda match: f"``{match[1]}``" + (f"\\ {match[2]}" if match[2] else ""), text)


#: Properties whose docstring is ready, by name.
_properties: dict[str, list[str]] = {}


def before_napoleon(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Convert code spans, also those that go over two lines. Napoleon would end a name at a colon inside code."""
    lines[:] = as_restructured_text("\n".join(lines)).split("\n")
    if what in ("property", "attribute"):
        # Napoleon takes what precedes a colon in the first line for a type; these have annotations.
        _properties[name] = GoogleDocstring(lines, app.config, app, "method", name, value, options).lines()


def after_napoleon(_app: Sphinx, _what: str, name: str, _value: object, _options: object, lines: list[str]) -> None:
    """Put back what was made of a property."""
    if name in _properties:
        lines[:] = _properties.pop(name)


class GeneratedTable(SphinxDirective):
    """`{errors-table}`, `{options-table} module.Class` and so on: Markdown rows from a function above."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The parsed table."""
        function = _TABLES[self.name]
        rows = function(*self.arguments)
        holder = nodes.container()
        self.state.nested_parse(StringList(rows, source=f"<{self.name}>"), self.content_offset, holder)
        return holder.children


class CommandHelp(SphinxDirective):
    """`{command-help} collect`: the help text of a command as it is printed."""

    optional_arguments = 1
    option_spec: ClassVar = {"class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        """The help text as a literal block."""
        text = command_help(self.arguments[0] if self.arguments else "")
        block = nodes.literal_block(text, text)
        block["language"] = "text"
        return [block]


def metrics_table() -> list[str]:
    """Every metric: name, type, labels, meaning, and where it exists."""
    from cpapi_fast.metrics import METRICS

    where = {"feed": "", "collector": " Only of a `Collector`.", "option": " Only with `max_conids`."}
    rows = [
        _row(
            f"`{metric.full_name}`",
            metric.type,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.text.replace("max_conids", "`max_conids`") + where[metric.of],
        )
        for metric in METRICS.values()
    ]
    return ["| metric | type | labels | meaning |", "|---|---|---|---|", *rows]


_TABLES: dict[str, Any] = {
    "metrics-table": metrics_table,
    "options-table": options_table,
    "attributes-table": attributes_table,
    "errors-table": errors_table,
    "fields-table": fields_table,
    "message-table": message_table,
    "schema-table": schema_table,
    "settings-table": settings_table,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name in _TABLES:
        app.add_directive(name, GeneratedTable)
    app.add_directive("command-help", CommandHelp)
    # Napoleon has the priority 500.
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
