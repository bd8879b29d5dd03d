"""Running the real command as a process of its own, beside the test's loop."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass

#: A warning is an error here too.
PYTHON = (sys.executable, "-W", "error")

LIMIT_S = 25.0


@dataclass
class Ended:
    code: int
    out: str
    err: str


async def start(*arguments: object, first: str | None = None) -> Process:
    """Start `python -m cpapi_fast`; `first` is Python code to run in the process before it."""
    run_module = "import runpy; runpy.run_module('cpapi_fast', run_name='__main__', alter_sys=True)"
    program = ("-m", "cpapi_fast") if first is None else ("-c", f"{first}\n{run_module}")
    return await asyncio.create_subprocess_exec(*PYTHON, *program, *map(str, arguments), stdout=PIPE, stderr=PIPE)


async def ended(process: Process) -> Ended:
    try:
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def command(*arguments: object) -> Ended:
    return await ended(await start(*arguments))
