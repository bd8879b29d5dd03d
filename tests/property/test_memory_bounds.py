"""The classifier never reads a byte that does not belong to the text (see guard_pages.py)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("guard_pages.py")

# Page protection needs mprotect, which POSIX systems have; the C code is the same on all systems.
if sys.platform != "win32":

    def run_guarded(action: str) -> subprocess.CompletedProcess[str]:
        # The child imports what this process imports: the tree under test, or an installed wheel.
        # Under AddressSanitizer the signal is to end the process as it does without.
        asan = os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0:handle_sigbus=0"
        path = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": path, "ASAN_OPTIONS": asan}
        return subprocess.run(
            [sys.executable, SCRIPT, action], env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def test_no_byte_outside_of_the_text_is_read():
        result = run_guarded("classify")
        assert result.returncode == 0, result.stderr
        assert int(result.stdout) > 50_000

    @pytest.mark.parametrize("action", ["overrun", "underrun"])
    def test_a_read_outside_of_the_text_ends_the_process(action: str):
        """The guard pages do guard: else the test above could not fail."""
        result = run_guarded(action)
        assert result.returncode in (-signal.SIGSEGV, -signal.SIGBUS), result.stderr
