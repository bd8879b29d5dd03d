"""Helpers that run `python -m cpapi_fast` in a process."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass

#: Warnings are errors in the process too.
PYTHON = (sys.executable, "-Werror")

LIMIT_S = 60.0


#: A line of the progress, which is printed every five seconds. On a slow machine stderr may have some.
PROGRESS = re.compile(r"^ *[0-9.:]+ s  .* frames \(.*\n", re.MULTILINE)


@dataclass
class Ended:
    code: int
    out: str
    #: stderr without lines of the progress.
    err: str


async def start(*arguments: object, first: str | None = None) -> Process:
    """Start `python -m cpapi_fast`. `first` is Python code that the process runs before."""
    run_module = "import runpy; runpy.run_module('cpapi_fast', run_name='__main__', alter_sys=True)"
    program = ("-m", "cpapi_fast") if first is None else ("-c", f"{first}\n{run_module}")
    return await asyncio.create_subprocess_exec(*PYTHON, *program, *map(str, arguments), stdout=PIPE, stderr=PIPE)


async def ended(process: Process) -> Ended:
    try:
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), PROGRESS.sub("", err.decode()))


async def command(*arguments: object) -> Ended:
    return await ended(await start(*arguments))
