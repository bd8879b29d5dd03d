"""Proves that the installed extensions run under the sanitizers: without it, a build that lost them would pass as well.

python -m tests.fuzz.bites           looks at every extension, then runs both of the next lines in a child
python -m tests.fuzz.bites inside    classifies a text that lies in a block of its own: nothing happens
python -m tests.fuzz.bites outside   claims that the text is one byte longer than its block: the process is killed
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import cpapi_fast
from cpapi_fast.frames import classifier

#: What code calls that the compiler has instrumented.
MARKS = {"AddressSanitizer": b"__asan_report_load", "UndefinedBehaviorSanitizer": b"__ubsan_handle_"}

#: Valid up to its last byte, so that the classifier walks over all of it and looks at what comes next.
TEXT = b'{"a":1}       '


class Classified(ctypes.Structure):
    """The struct of classifier.pxd."""

    _fields_ = (
        ("topic_start", ctypes.c_ssize_t),
        ("topic_length", ctypes.c_ssize_t),
        ("conid", ctypes.c_int64),
        ("kind", ctypes.c_uint8),
        ("verdict", ctypes.c_uint8),
    )


def classify(length: int) -> int:
    """Call the C function with TEXT in a block of exactly its size, and with this length."""
    capsule = classifier.__pyx_capi__["classify_ptr"]  # type: ignore[attr-defined]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = (ctypes.py_object,)
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    function = ctypes.CFUNCTYPE(Classified, ctypes.c_void_p, ctypes.c_ssize_t)(address)
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = (ctypes.c_size_t,)
    libc.free.argtypes = (ctypes.c_void_p,)
    block = libc.malloc(len(TEXT))
    ctypes.memmove(block, TEXT, len(TEXT))
    verdict = int(function(block, length).verdict)
    libc.free(block)
    return verdict


def child(action: str) -> subprocess.CompletedProcess[str]:
    """Run one of the two actions in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.bites", action]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def main(arguments: list[str]) -> str | None:
    """The reason why this is no sanitized build; None when it is one."""
    if arguments:
        classify(len(TEXT) + (arguments == ["outside"]))
        return None
    folder = Path(cpapi_fast.__file__).parent
    extensions = sorted(folder.rglob("*.so"))
    if len(extensions) < len(list(folder.rglob("*.pyx"))):
        return f"{folder} has sources without an extension"
    for extension in extensions:
        content = extension.read_bytes()
        for sanitizer, mark in MARKS.items():
            if mark not in content:
                return f"{extension.name} was compiled without {sanitizer}"
    inside, outside = child("inside"), child("outside")
    if inside.returncode != 0:
        return f"a text within its block ended the process with {inside.returncode}:\n{inside.stderr}"
    if outside.returncode == 0 or "heap-buffer-overflow" not in outside.stderr or "classify" not in outside.stderr:
        return f"a read past the end of a block went unnoticed ({outside.returncode}):\n{outside.stderr}"
    print(f"sanitized: {', '.join(extension.name.partition('.')[0] for extension in extensions)}")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
