"""Runs the blocks of a page, each in a process of its own, in one folder for the page.

What a reader has to replace is replaced here: the address of the gateway and the fingerprint of its certificate, by
those of a simulated gateway.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import cpapi_fast
from tests.docs.pages import Block

URL: Final = "https://localhost:5000/v1/api"
FINGERPRINT: Final = re.compile(r"\bSHA256\b")
LIMIT_S: Final = 120.0

_HERE: Final = Path(__file__).parent


class Gateway:
    """A simulated gateway in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cpapi_fast", "simulate", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        greeting = ""
        while "Ctrl-C" not in greeting:
            line = self._process.stdout.readline()
            assert line, f"the simulator ended: {greeting}"
            greeting += line
        self.url = re.search(r"https://\S+", greeting)[0]  # type: ignore[index]
        self.fingerprint = re.search(r"\b[0-9a-f]{64}\b", greeting)[0]  # type: ignore[index]

    def put_into(self, text: str) -> str:
        """The text with this gateway in place of the reader's."""
        return FINGERPRINT.sub(self.fingerprint, text.replace(URL, self.url))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def program_of(block: Block) -> str:
    """The Python program that a block is, or that its set-up makes of it."""
    if (name := block.directives.get("in")) is None:
        return block.text
    setup = (_HERE / "setups" / f"{name}.txt").read_text(encoding="utf-8")
    match = re.search(r"^( *)BLOCK\n", setup, re.MULTILINE)
    assert match is not None, f"{name}.txt has no line `BLOCK`"
    return setup.replace(match[0], textwrap.indent(block.text, match[1]))


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a shell block, without comments and with continued lines joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [command for line in lines if (command := shlex.split(line, comments=True))]


def run_block(block: Block, folder: Path, gateway: Gateway) -> None:
    """Run one block in a folder.

    Raises:
        AssertionError: it did not end as it should.
    """
    if (name := block.directives.get("file")) is not None:
        (folder / name).write_text(gateway.put_into(block.text), encoding="utf-8")
        if name.endswith(".py"):
            compile(block.text, name, "exec")
        return
    until = block.directives.get("until", "")
    code = int(block.directives.get("exit", "0"))
    if block.language == "python":
        script = folder / f"block_{block.line}.py"
        script.write_text(gateway.put_into(program_of(block)), encoding="utf-8")
        _run([until, script.name], folder, code, is_quiet=True)
        return
    for command in commands_of(block):
        program, *arguments = (gateway.put_into(word) for word in command)
        if program == "cpapi-fast":
            _run([until, "-m", "cpapi_fast", *arguments], folder, code)
        elif program == "python":
            _run([until, *arguments], folder, code)
        else:
            raise AssertionError(f"a block runs `python` and `cpapi-fast`, not {program!r}; mark it as not run")


def _environment(arguments: list[str]) -> dict[str, str]:
    """For a compiler: where Cython finds the .pxd files, and no sanitizer that watches it."""
    environment = dict(os.environ)
    if arguments[0]:
        # What is waited for is shown on a terminal only, unless it is asked for.
        environment["CPAPI_FAST_PROGRESS"] = "true"
    if "setup.py" in arguments:
        environment["PYTHONPATH"] = str(Path(cpapi_fast.__file__).parents[1])
        environment.pop("LD_PRELOAD", None)
    return environment


def _run(arguments: list[str], folder: Path, code: int, *, is_quiet: bool = False) -> None:
    done = subprocess.run(
        [sys.executable, *(["-W", "error"] if is_quiet else []), str(_HERE / "interrupting.py"), *arguments],
        cwd=folder,
        env=_environment(arguments),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    # A feed whose connection is lost writes a warning to the log, which is the point of some blocks.
    unexpected = [line for line in done.stderr.splitlines() if not line.startswith("feed of ")]
    assert not is_quiet or unexpected == [], done.stderr
