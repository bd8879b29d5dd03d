"""Fuzzes one target with atheris, which is libFuzzer, guided by the coverage of the compiled extensions.

Run by tests/fuzz/campaign.py in the sanitized build (tools/sanitized.sh), where coverage.c is preloaded:

    python -m tests.fuzz.engine TARGET [options and folders of libFuzzer]
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import atheris

from tests.fuzz.planted import planted
from tests.fuzz.targets import TARGETS

#: In the order of coverage.c.
CALLBACKS = ("cmp1", "cmp2", "cmp4", "cmp8", "const_cmp1", "const_cmp2", "const_cmp4", "const_cmp8", "switch")


def connect_coverage() -> None:
    """Lead the counters and comparisons of the extensions to the libFuzzer inside atheris."""
    (path,) = Path(atheris.__file__).parent.glob("core_with_libfuzzer*.so")
    fuzzer = ctypes.CDLL(str(path))
    addresses = [ctypes.cast(fuzzer[f"__sanitizer_cov_trace_{name}"], ctypes.c_void_p) for name in CALLBACKS]
    ctypes.CDLL(None).cpapi_fast_connect(
        (ctypes.c_void_p * len(CALLBACKS))(*[address.value for address in addresses]),
        fuzzer["__sanitizer_cov_8bit_counters_init"],
        fuzzer["__sanitizer_cov_pcs_init"],
    )


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough, or something is found."""
    name, options = sys.argv[1], sys.argv[2:]
    target = planted() if name == "planted" else TARGETS[name]
    atheris.Setup([sys.argv[0], *options], target, internal_libfuzzer=True)
    connect_coverage()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
