"""Replays a decision record: passes its inputs to a new machine, and compares the actions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cpapi_fast.errors import ConfigError, DecisionRecordError, ReplayMismatchError
from cpapi_fast.feed.machine import Action, Activity, Machine, Moment
from cpapi_fast.redaction import repr_without_accounts

from .record_format import FORMAT, INPUTS, VERSION, decode_arguments, decode_options, encode_action

#: What decoding a damaged line may raise.
_DAMAGE: Final = (ArithmeticError, AttributeError, ConfigError, LookupError, TypeError, ValueError)


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Decision:
    """One input of a machine and the actions that followed from it.

    Attributes:
        line: the number of its line in the record.
        now: the time of the input.
        input: the name of the input, a method of `Machine`.
        arguments: its arguments without the time, by name.
        actions: the actions of the replayed machine, which equal those of the record.
        error: the name of the error that the input raised; None if it raised none.
    """

    line: int
    now: Moment
    input: str
    arguments: dict[str, Any]
    actions: tuple[Action, ...]
    error: str | None


def replay_decisions(path: str | Path) -> Iterator[Decision]:
    """Replay a file that `FeedOptions(record_decisions=path)` has written.

    A last line that is cut off, as after a crash, ends the replay without an error.

    Args:
        path: the file.

    Yields:
        Each input with its actions, in order.

    Raises:
        DecisionRecordError: the file is damaged, or not a decision record of this version.
        ReplayMismatchError: the actions of the machine differ from those of the record.
        OSError: the file cannot be read.
    """
    with Path(path).open(encoding="ascii", errors="replace") as file:
        machine: Machine | None = None
        for number, text in enumerate(file, start=1):
            if not text.endswith("\n"):
                break
            line = _parse(text, number)
            if machine is None:
                machine = _new_machine(line)
            else:
                yield _replay(machine, line, number)
        if machine is None:
            raise DecisionRecordError("the file has no complete line", line=1)


def _parse(text: str, number: int) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecisionRecordError("not a JSON object, so the file is damaged", line=number) from error
    if not isinstance(line, dict):
        raise DecisionRecordError("not a JSON object, so the file is damaged", line=number)
    return line


def _new_machine(head: dict[str, Any]) -> Machine:
    if head.get("format") != FORMAT:
        raise DecisionRecordError("the file is not a decision record", line=1)
    if head.get("version") != VERSION:
        raise DecisionRecordError(
            f"the record has version {head.get('version')!r}, but this library reads version {VERSION}", line=1
        )
    try:
        return Machine(decode_options(head["options"]), seed=int(head["seed"]))
    except _DAMAGE as error:
        raise DecisionRecordError("the options are damaged", line=1) from error


def _replay(machine: Machine, line: dict[str, Any], number: int) -> Decision:
    try:
        name = line["input"]
        if name not in INPUTS:
            raise DecisionRecordError(f"{name!r} is not an input of the machine", line=number)
        arguments = decode_arguments(line["arguments"])
        now = arguments["now"]
        if not all(type(value) in (int, float) for value in now):
            raise DecisionRecordError("the line is damaged", line=number)
        activity = {topic: Activity(*values) for topic, values in line.get("activity", {}).items()}
        machine.observe(activity, line["last_frame_s"])
    except _DAMAGE as error:
        if isinstance(error, DecisionRecordError):
            raise
        raise DecisionRecordError("the line is damaged", line=number) from error
    failed_with: str | None = None
    actions: list[Action] = []
    try:
        actions = getattr(machine, name)(**arguments)
    except Exception as error:  # noqa: BLE001 - the record contains the errors of inputs
        failed_with = type(error).__name__
    if failed_with != line.get("error"):
        raise ReplayMismatchError(
            f"{name} raised {failed_with or 'nothing'}, and in the record {line.get('error') or 'nothing'}", line=number
        )
    found = json.loads(json.dumps([encode_action(action, str) for action in actions]))
    expected = line.get("actions", [])
    if found != expected:
        raise ReplayMismatchError(f"the actions of {name} are {found}, and in the record {expected}", line=number)
    del arguments["now"]
    return Decision(number, now, name, arguments, tuple(actions), failed_with)
