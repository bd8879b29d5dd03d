#!/bin/sh
# Runs the Autobahn test suite against WsClient. The suite needs Python 2.7; it gets an environment of its own,
# .venvs/autobahn, for the interpreter python2.7 or PyPy 2.7 of this machine.
#
#   tools/autobahn.sh PYTHON      PYTHON runs the client; it also creates the environment
#
# CPAPI_FAST_PYTHON2=/path/to/python2.7 sets the interpreter. Without one this prints a message and does nothing, or fails
# when CPAPI_FAST_REQUIRE_ALL=1.
set -eu

python=$1
home=$PWD/.venvs/autobahn
requirements=tests/conformance/autobahn-requirements.txt

pyenv_root=${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}
python2=
for candidate in ${CPAPI_FAST_PYTHON2:-python2.7 "$pyenv_root"/versions/2.7.*/bin/python2.7 pypy2.7 pypy2}; do
    # A pyenv shim exists for every version but works only for a selected one, so the interpreter is run.
    python2=$("$candidate" -c 'import ssl, sys; print(sys.executable if sys.version_info[:2] == (2, 7) else "")' \
        2>/dev/null </dev/null) || continue
    [ -z "$python2" ] || break
done
if [ -z "$python2" ]; then
    echo "not run: the Autobahn test suite needs Python 2.7. Install it, or set CPAPI_FAST_PYTHON2=/path/to/python2.7" >&2
    case ${CPAPI_FAST_REQUIRE_ALL:-0} in '' | 0) exit 0 ;; *) exit 1 ;; esac
fi

if ! cmp -s "$requirements" "$home/installed.txt"; then
    rm -rf "$home"
    # The last release of virtualenv that creates environments for Python 2.7.
    "$python" -m venv "$home/tools"
    "$home/tools/bin/python" -m pip install -q virtualenv==20.21.1
    "$home/tools/bin/virtualenv" -q -p "$python2" "$home/suite"
    # pip for Python 2.7 announces the end of Python 2.7 at each start.
    PYTHONWARNINGS=ignore "$home/suite/bin/python" -m pip install -q --no-python-version-warning -r "$requirements"
    cp "$requirements" "$home/installed.txt"
fi
exec "$python" -m tests.conformance.autobahn "$home/suite/bin/wstest"
