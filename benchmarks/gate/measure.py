"""Counts the instructions per frame of every path of the tree in the current folder, and prints them as JSON.

Usage: python -m benchmarks.gate.measure

Callgrind writes one file at each mark of the driver, with the instructions since the previous mark. The costs of
start-up, warm-up and the marks are not counted or cancel out, so two runs on a tree give the same counts.
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

#: The time limit of one measurement, which takes a minute on an idle core.
TIMEOUT_S: Final = 1_200
#: The marks of each path: before and after N frames, and before and after 2 N frames.
MARKS: Final = 4


class GateError(Exception):
    """The gate cannot measure or compare. The message states the remedy."""


@dataclass(frozen=True)
class Counts:
    """Instructions per frame: of the library's paths without the cost of picows, and of the references."""

    paths: dict[str, float]
    references: dict[str, float]


def valgrind() -> str:
    """Return the path of valgrind."""
    found = shutil.which("valgrind")
    if found is None:
        raise GateError("valgrind is not installed; on Debian and Ubuntu: apt-get install valgrind")
    return found


def counted(text: str, name: str) -> int:
    """Return the number of instructions in one file of callgrind."""
    found = re.search(r"^(?:summary|totals): *(\d+)", text, re.MULTILINE)
    if found is None:
        raise GateError(f"callgrind wrote no total into {name}; the run was cut off, run it again")
    return int(found[1])


def counts_of(layout: list[dict[str, Any]], segments: list[int]) -> Counts:
    """Return the instructions per frame of each path; `segments[i]` counts from the mark before mark `i`."""
    if not layout or len(segments) != MARKS * len(layout):
        raise GateError(f"callgrind wrote {len(segments)} files for {len(layout)} paths, not {MARKS} for each")
    gross = {
        path["name"]: (segments[MARKS * index + 3] - segments[MARKS * index + 1]) / path["frames"]
        for index, path in enumerate(layout)
    }
    counts = Counts({}, {})
    for path in layout:
        per_frame = gross[path["name"]] - gross.get(path["over"], 0.0)
        if per_frame <= 0:
            raise GateError(f"{path['name']} seems to cost {per_frame:.1f} instructions per frame; run it again")
        (counts.paths if "/" in path["name"] else counts.references)[path["name"]] = round(per_frame, 2)
    return counts


def measure(tree: Path) -> Counts:
    """Run the driver of `tree` under callgrind, and return the counts."""
    with tempfile.TemporaryDirectory() as folder:
        layout, out = Path(folder, "layout.json"), Path(folder, "callgrind")
        options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        command = [valgrind(), *options, sys.executable, "-m", "benchmarks.gate.driver", str(layout)]
        # Not the caller's environment, whose size moves the stack and whose variables may change what runs.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        if done.returncode != 0 or not layout.exists():
            raise GateError(f"the driver failed under callgrind with code {done.returncode}:\n{done.stderr[-2000:]}")
        dumps = sorted(Path(folder).glob("callgrind.*"), key=lambda path: int(path.suffix[1:]))
        segments = [counted(path.read_text(), path.name) for path in dumps]
        return counts_of(json.loads(layout.read_text()), segments)


def main() -> None:
    try:
        print(json.dumps(asdict(measure(Path.cwd()))))
    except GateError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
