"""An object that is no output is refused at construction, with what is missing, and so are wrong options."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import FILE_OUTPUTS, CollectOptions
from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.contract.output import CheckedOutput
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls


class Rows(cf.Output):
    """The smallest output."""

    name = "rows"

    def write(self, batch: cf.Batch) -> None:
        """Do nothing."""


class Plain:
    """An output that inherits nothing."""

    name = "plain"

    def write_event(self, event: object, row: int) -> None:
        """Do nothing."""


class Named(Rows):
    """An output with any name."""

    def __init__(self, name: Any) -> None:
        self.name = name


class WithMethods:
    """An object with these attributes."""

    def __init__(self, **methods: Any) -> None:
        self.name = "own"
        vars(self).update(methods)


async def coroutine(*_arguments: object) -> None:
    """Never run."""


def generator(*_arguments: object) -> Any:
    yield 1


def test_what_an_output_has_is_found() -> None:
    rows = CheckedOutput(Rows())
    assert (rows.name, rows.unit, rows.write_event, rows.flush, rows.close) == ("rows", "frames", None, None, None)
    assert rows.options == cf.OutputOptions()
    plain = CheckedOutput(Plain(), cf.OutputOptions(policy="block"))
    assert (plain.name, plain.unit, plain.write, plain.options.policy) == ("plain", "events", None, "block")


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (Rows, "an output is an object, not a class; pass Rows"),
        (object(), "needs a name of small letters"),
        (None, "needs a name of small letters"),
        ("quotes.sqlite", "needs a name of small letters"),
        (Named(""), "needs a name of small letters"),
        (Named("Own"), "needs a name of small letters"),
        (Named("a\nb"), "needs a name of small letters"),
        (Named("x" * 65), "needs a name of small letters"),
        (Named(7), "needs a name of small letters"),
        (cf.Output(), "needs a name of small letters"),
        (WithMethods(), r"needs a method write\(batch\), write_event\(event, row\), or both"),
        (WithMethods(flush=print), r"needs a method write\(batch\)"),
        (WithMethods(write=7), "write of the output 'own' must be a function"),
        (WithMethods(write=coroutine), "write of the output 'own' is a coroutine function"),
        (WithMethods(write=print, flush=coroutine), "flush of the output 'own' is a coroutine function"),
        (WithMethods(write=print, close=generator), "close of the output 'own' is a generator function"),
        (WithMethods(write=print, options={"policy": "block"}), "must be OutputOptions, not dict"),
        (
            WithMethods(write=print, counts=OutputCounts(), options=cf.OutputOptions()),
            "cannot be retried, because its file ends with the first failure",
        ),
    ],
)
def test_what_is_no_output_is_refused(output: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        CheckedOutput(output)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"policy": "hold"}, "policy must be one of block, drop_oldest, drop_newest, not 'hold'"),
        ({"policy": []}, "policy must be one of"),
        ({"on_failure": "ignore"}, "on_failure must be one of stop, retry, drop, not 'ignore'"),
        ({"flush_deadline_s": None}, "needs retry_attempts or flush_deadline_s"),
        ({"batch_delay_s": False}, "batch_delay_s must be"),
    ],
)
def test_wrong_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        cf.OutputOptions(**options)


def test_delays_double_up_to_the_longest() -> None:
    options = cf.OutputOptions(retry_delay_s=0.5, retry_max_delay_s=3.0)
    assert [options.delay_s(failures) for failures in (1, 2, 3, 4, 5, 10**9)] == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    assert dataclasses.replace(options, batch_delay_s=0).batch_delay_s == 0


@pytest.mark.parametrize(
    ("outputs", "options", "text"),
    [
        ([Rows(), Rows()], {}, "two outputs with the name 'rows'"),
        (["x"], {}, "needs a name"),
        ("rows", {}, "outputs must be a list of outputs"),
        (Rows(), {}, "outputs must be a list of outputs"),
        *(([Named(name)], {}, f"the name '{name}' is that of a file of the run") for name in FILE_OUTPUTS),
        ([Rows()], {"rows": None}, "must have OutputOptions by name"),
        ([Rows()], {1: cf.OutputOptions()}, "must have OutputOptions by name"),
        ([Rows()], [], "must be a dict of OutputOptions"),
        ([Rows()], {"row": cf.OutputOptions()}, "there is no output 'row' to set options of"),
        ([], {"capture": cf.OutputOptions()}, "the output 'capture' cannot be retried"),
    ],
)
async def test_wrong_outputs_of_a_run(tmp_path: Path, outputs: Any, options: Any, text: str) -> None:
    async with Client("https://127.0.0.1:5000", tls=Tls.verify()) as client:
        with pytest.raises(ConfigError, match=text):
            Collector(client, CollectOptions(conids=(1,), out=tmp_path, output_options=options), outputs=outputs)
    assert list(tmp_path.iterdir()) == [], "nothing was begun"


def test_options_of_the_files_follow_from_those_of_the_run() -> None:
    options = CollectOptions(
        conids=(1,),
        out=Path("x"),
        max_queue_bytes=1000,
        slow_disk="drop_newest",
        output_options={"quotes": cf.OutputOptions(on_failure="drop")},
    )
    capture, quotes = options.options_of("capture"), options.options_of("quotes")
    assert capture is not None
    assert (capture.policy, capture.on_failure, capture.flush_deadline_s) == ("drop_newest", "stop", None)
    assert capture.max_queue_bytes + options.consumer_bytes == 1000
    assert quotes == cf.OutputOptions(on_failure="drop")
    assert options.options_of("own") is None
