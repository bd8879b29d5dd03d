#!/bin/sh
# Finds CPython interpreters that can build this package: 3.11 or newer, with venv, ensurepip and the C headers.
#
#   tools/find_python.sh         prints the interpreter for .venv; if there is none, prints the reason to stderr and fails
#   tools/find_python.sh all     prints "3.X PATH" for one interpreter of each minor version, oldest first
#
# PYTHON=/path/to/python3 sets the interpreter of the first form.
set -u

probe='
import sys
ok = sys.implementation.name == "cpython" and sys.version_info >= (3, 11)
if not ok:
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
import os, sysconfig
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit(4)
if getattr(sys, "_is_gil_enabled", lambda: True)() is False:
    sys.exit(3)  # the extensions do not declare themselves safe without the GIL
# The output must not have a carriage return or a backslash, not even on Windows.
line = "%d.%d %s" % (sys.version_info[0], sys.version_info[1], sys.executable)
sys.stdout.buffer.write(line.replace(os.sep, "/").encode() + bytes([10]))
'

describe() { # describe INTERPRETER -> "3.X PATH"; status 4: a part is missing; any other: not usable
    "$1" -c "$probe" 2>/dev/null </dev/null
}

# A pyenv shim exists for every version but works only for a selected one, so pyenv's folders are searched as well.
pyenv_root=${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}

if [ "${1:-}" = all ]; then
    for minor in 11 12 13 14; do
        for candidate in "python3.$minor" "$pyenv_root"/versions/3."$minor".*/bin/python3 python3 python; do
            found=$(describe "$candidate") || continue
            case $found in "3.$minor "*) echo "$found" && break ;; esac
        done
    done
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
else
    candidates="python3 python python3.13 python3.12 python3.11 python3.14"
fi
incomplete=
for candidate in $candidates; do
    found=$(describe "$candidate")
    case $? in
        0) echo "${found#* }" && exit 0 ;;
        4) incomplete=$candidate ;;
    esac
done
if [ -z "${PYTHON:-}" ]; then
    for candidate in "$pyenv_root"/versions/3.1[1-4].*/bin/python3; do
        found=$(describe "$candidate") && echo "${found#* }" && exit 0
    done
fi
if [ -n "$incomplete" ]; then
    echo "$incomplete has no venv, ensurepip or Python.h. On Debian and Ubuntu: apt-get install python3-venv python3-dev" >&2
else
    echo "No CPython 3.11 or newer among: $candidates. Install one, or pass its path: make PYTHON=/path/to/python3" >&2
fi
exit 1
