"""Steps the wall clock of a child process while it runs; its monotonic clock does not change (Linux only)."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "native" / "clock_step.c"

NS = 1_000_000_000
HOUR_NS = 3_600 * NS


class SteppedClock:
    """Compiles the shim into `folder`; give `environment` to the process whose clock is to be stepped."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if sys.platform != "linux" or compiler is None:
            pytest.skip("a wall clock is stepped with LD_PRELOAD, which needs Linux and a C compiler")
        library, self._file = folder / "clock_step.so", folder / "step_ns"
        # The compiler itself is not under test.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        flags = ("-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        subprocess.run([compiler, *flags, SOURCE, "-o", library, "-ldl"], check=True, env=environment)
        self._file.write_bytes(bytes(8))
        # A sanitizer's library has to be the first.
        preloaded = " ".join(filter(None, (os.environ.get("LD_PRELOAD"), str(library))))
        self.environment = {**os.environ, "LD_PRELOAD": preloaded, "CPAPI_FAST_CLOCK_STEP": str(self._file)}

    def step(self, seconds: float) -> None:
        """From now on the clock is off by so many seconds, either way."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            # One write of eight aligned bytes is atomic.
            page[:8] = struct.pack("=q", round(seconds * NS))
