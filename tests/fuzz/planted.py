"""The bug of planted.c, compiled as the extensions are: if the fuzzer does not find it, it finds nothing."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")

#: As setup.py has them for CPAPI_FAST_SANITIZE and CPAPI_FAST_COVERAGE.
FLAGS = ("-O1", "-g", "-fsanitize=address,undefined", "-fsanitize-coverage=trace-pc,trace-cmp", "-shared", "-fPIC")


def compile_into(folder: Path) -> Path:
    """Compile the bug; returns the library."""
    library = folder / "planted.so"
    # The compiler itself is not under test.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(["gcc", *FLAGS, SOURCE, "-o", library], check=True, env=environment)
    return library


def planted() -> Callable[[bytes], None]:
    """The target; CPAPI_FAST_PLANTED names the library."""
    function = ctypes.CDLL(os.environ["CPAPI_FAST_PLANTED"]).planted
    function.argtypes = (ctypes.c_char_p, ctypes.c_size_t)

    def target(data: bytes) -> None:
        function(data, len(data))

    return target
