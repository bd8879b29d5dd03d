#!/bin/sh
# Runs Python on extensions with AddressSanitizer and UndefinedBehaviorSanitizer. They are installed in
# their own environment (.venvs/sanitized), so that the release build in the source tree does not change.
#
#   tools/sanitized.sh PYTHON ARGUMENTS...   runs the environment's Python with these arguments, outside the checkout
#
# PYTHON needs the `build` module. Needs gcc with libasan and libubsan; without them it prints a message and does nothing,
# or fails when CPAPI_FAST_REQUIRE_ALL=1.
set -eu

python=$1
shift
home=$PWD/.venvs/sanitized
bin=$home/bin

missing() {
    echo "not run: $1" >&2
    case ${CPAPI_FAST_REQUIRE_ALL:-0} in '' | 0) exit 0 ;; *) exit 1 ;; esac
}

library() { # library NAME -> its path; gcc prints only the name of a library that it does not have
    path=$(gcc -print-file-name="$1")
    [ "$path" != "$1" ] || missing "gcc has no $1. On Debian and Ubuntu: apt-get install libasan8 libubsan1 g++"
    readlink -f "$path"
}

[ "$(uname -s)" = Linux ] || missing "the sanitized build needs Linux"
command -v gcc >/dev/null || missing "the sanitized build needs gcc"
libasan=$(library libasan.so)
libubsan=$(library libubsan.so)
# Preloaded as well, because libasan must find it before the first C++ exception (for example of pyarrow).
libstdcxx=$(library libstdc++.so.6)
if [ -z "$libasan" ] || [ -z "$libubsan" ] || [ -z "$libstdcxx" ]; then exit 0; fi

made_of=$("$python" -c 'import sys; print(sys.version, sys._base_executable)')
if [ "$(cat "$home/.deps" 2>/dev/null)" != "$made_of" ] || [ pyproject.toml -nt "$home/.deps" ]; then
    "$python" -m venv --clear "$home"
    "$bin/python" -m pip install -q --upgrade 'pip>=25.1'
    "$bin/python" -m pip install -q --group test --group build --group fuzz
    echo "$made_of" >"$home/.deps"
fi
if [ ! -e "$home/.built" ] || [ "$home/.deps" -nt "$home/.built" ] ||
    [ -n "$(find cpapi_fast setup.py MANIFEST.in README.md tests/fuzz/coverage.c -newer "$home/.built" -type f \
        ! -name '*.c' ! -name '*.so' ! -name '*.pyc')" ]; then
    rm -rf "$home/dist"
    tools/build_lock.sh "$python" -m build --sdist --outdir "$home/dist" . >"$home/log" || { cat "$home/log" >&2 && exit 1; }
    # Built from the sdist in another folder, so that no object file is shared with the release build.
    CC=gcc CPAPI_FAST_SANITIZE=1 CPAPI_FAST_COVERAGE=1 \
        "$bin/python" -m pip wheel -q --no-build-isolation --no-deps --wheel-dir "$home/dist" "$home"/dist/*.tar.gz
    for wheel in "$home"/dist/*.whl; do
        "$bin/python" -m pip install -q "$wheel[cli]"
        "$bin/python" -m pip install -q --force-reinstall --no-deps "$wheel"
    done
    gcc -O2 -fPIC -shared tests/fuzz/coverage.c -o "$home/coverage.so"
    touch "$home/.built"
fi

export LD_PRELOAD="$home/coverage.so $libasan $libubsan $libstdcxx"
# No leak check, because it would report only the memory that the interpreter keeps until it exits.
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:quarantine_size_mb=64:verify_asan_link_order=0"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:abort_on_error=1"
# Each object gets its own block, with the sanitizer's red zones around it.
export PYTHONMALLOC=malloc

tools/test_installed.sh "$bin/python" -m tests.fuzz.bites
exec tools/test_installed.sh "$bin/python" "$@"
