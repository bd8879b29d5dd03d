"""Counts the instructions per frame of every path of the tree in the current folder, and prints them as JSON.

Usage: python -m benchmarks.gate.measure

Callgrind writes one file per mark of the driver, with all that was executed since the mark before. What start-up,
warm-up and the marks themselves cost lies outside or cancels out, so two runs on a tree give the same numbers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from .errors import GateError

MARK: Final = "cpapi_fast_gate_mark"
TIMEOUT_S: Final = 300
INSTALL: Final = "valgrind is not installed; on Debian and Ubuntu: apt-get install valgrind"

_COUNTED: Final = re.compile(r"^(?:summary|totals): *(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Counts:
    """Instructions per frame: of the library's paths, less what picows costs below them, and of the references."""

    paths: dict[str, float]
    references: dict[str, float]


def valgrind() -> str:
    """Where valgrind is."""
    found = shutil.which("valgrind")
    if found is None:
        raise GateError(INSTALL)
    return found


def counted(text: str, name: str) -> int:
    """The instructions that one file of callgrind reports."""
    found = _COUNTED.search(text)
    if found is None:
        raise GateError(f"callgrind wrote no total into {name}; the run was cut off, run it again")
    return int(found[1])


def counts_of(layout: list[dict[str, Any]], segments: list[int]) -> Counts:
    """Instructions per frame of each path; `segments[i]` is what was counted up to mark `i` since the one before."""
    if not layout or len(segments) != layout[-1]["first_mark"] + 4:
        raise GateError(f"callgrind wrote {len(segments)} files for {len(layout)} paths; does it see {MARK}?")
    gross = {}
    for path in layout:
        once, twice = (segments[path["first_mark"] + index] for index in (1, 3))
        gross[path["name"]] = (twice - once) / path["frames"]
    paths: dict[str, float] = {}
    references: dict[str, float] = {}
    for path in layout:
        per_frame = gross[path["name"]] - (gross[path["over"]] if path["over"] else 0.0)
        if per_frame <= 0:
            raise GateError(f"{path['name']} is said to cost {per_frame:.1f} instructions per frame; run it again")
        (references if path["is_reference"] else paths)[path["name"]] = round(per_frame, 2)
    return Counts(paths, references)


def measure(tree: Path) -> Counts:
    """Run the driver of `tree` under callgrind."""
    # Compiled in the tree that is measured, and only there.
    from .native import CAN_SLEEP

    with tempfile.TemporaryDirectory() as folder:
        layout, out = Path(folder, "layout.json"), Path(folder, "callgrind")
        command = [
            valgrind(),
            "--tool=callgrind",
            f"--instr-atstart={'no' if CAN_SLEEP else 'yes'}",
            f"--dump-before={MARK}",
            f"--callgrind-out-file={out}",
            *(sys.executable, "-m", "benchmarks.gate.driver", str(layout)),
        ]
        # Nothing of the caller's environment: its size moves the stack, and its switches what is run.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            command,
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if done.returncode != 0 or not layout.exists():
            raise GateError(f"the driver failed under callgrind with code {done.returncode}:\n{done.stderr[-2000:]}")
        dumps = sorted(
            (path for path in Path(folder).iterdir() if path.name.startswith("callgrind.")),
            key=lambda path: int(path.suffix[1:]),
        )
        segments = [counted(path.read_text(), path.name) for path in dumps]
        return counts_of(json.loads(layout.read_text()), segments)


def main() -> None:
    try:
        print(json.dumps(asdict(measure(Path.cwd()))))
    except GateError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
