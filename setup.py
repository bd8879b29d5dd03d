"""The extensions and the compiler directives they share; everything else is in pyproject.toml.

Switches are environment variables, so that every front end (pip, build, make) passes them on:

* CPAPI_FAST_DEBUG=1     keeps every run-time check that the release build turns off, and asserts on pointer reads
* CPAPI_FAST_SANITIZE=1  adds AddressSanitizer and UndefinedBehaviorSanitizer (implies the debug directives)
* CPAPI_FAST_COVERAGE=1  reports basic blocks and comparisons to a fuzzer (gcc; such a build loads only where somebody
                         defines the functions it calls: tests/fuzz/coverage.c)
* CPAPI_FAST_ANNOTATE=1  writes Cython's annotated HTML beside the sources
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup


def _is_on(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


SANITIZE = _is_on("CPAPI_FAST_SANITIZE")
DEBUG = SANITIZE or _is_on("CPAPI_FAST_DEBUG")

# The only place where a safety check is turned off. A directive in a file's header would win over this table, and the
# debug build could not turn the check on again: there are none.
DIRECTIVES: dict[str, object] = {
    "language_level": 3,
    # Index arithmetic in the sources is on C pointers, which boundscheck does not guard in any mode; every such read
    # has an explicit bound. What is left to guard is indexing of Python objects, which stays on.
    "boundscheck": True,
    "wraparound": DEBUG,
    # C division: operands are never negative, and no divisor is zero by construction.
    "cdivision": not DEBUG,
    # `None` for a typed extension object is checked at each attribute access in the debug build only; the functions
    # that take one say `not None`.
    "nonecheck": DEBUG,
    "initializedcheck": DEBUG,
    # overflowcheck stays off in all builds, as Cython has it: it takes unsigned arithmetic that wraps on purpose (the
    # hash of ticks.pyx, words in scan.pxd) for a fault. Signed overflow is one: -ftrapv and the sanitizer look for it.
}

if sys.platform == "win32":
    COMPILE_ARGS = ["/O2"]
    LINK_ARGS: list[str] = []
elif SANITIZE:
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
    COMPILE_ARGS = ["-O1", "-g", *flags]
    LINK_ARGS = flags
elif DEBUG:
    COMPILE_ARGS = ["-O1", "-g", "-ftrapv"]
    LINK_ARGS = []
else:
    # Without the last flag, gcc adds to two neighbouring counters with one vector instruction, whose operand it has to
    # put together on the stack first: a stall that costs more than the rest of the listener.
    COMPILE_ARGS = ["-O3", "-fno-tree-slp-vectorize"]
    LINK_ARGS = []

if _is_on("CPAPI_FAST_COVERAGE"):
    COMPILE_ARGS.append("-fsanitize-coverage=trace-pc,trace-cmp")

MACROS = [("CPAPI_FAST_DEBUG", "1")] if DEBUG else []

EXTENSIONS = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [path.as_posix()],
        define_macros=MACROS,
        extra_compile_args=COMPILE_ARGS,
        extra_link_args=LINK_ARGS,
    )
    for path in sorted(Path("cpapi_fast").rglob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        EXTENSIONS,
        compiler_directives=DIRECTIVES,
        annotate=_is_on("CPAPI_FAST_ANNOTATE"),
        # A changed switch must rebuild, back to a release build too: time stamps do not see one.
        force=True,
    ),
)
