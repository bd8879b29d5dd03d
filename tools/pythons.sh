#!/bin/sh
# Runs all tests on one interpreter of each minor version, each in its own environment under .venvs/.
#
# CPAPI_FAST_PYTHONS="3.11 3.12" lists required versions: if one is missing, the run fails before the tests start. Without
# it, all versions of the machine are tested. CPAPI_FAST_TESTED="3.11" lists versions to skip because another step tests them.
set -eu

found=$(tools/find_python.sh all)
versions=$(echo "$found" | cut -d' ' -f1 | tr '\n' ' ')
echo "interpreters found: ${versions:-none}"
missing=
for version in ${CPAPI_FAST_PYTHONS:-}; do
    case " $versions" in *" $version "*) ;; *) missing="$missing $version" ;; esac
done
if [ -n "$missing" ] || [ -z "$found" ]; then
    echo "interpreters missing:${missing:- all of 3.11 to 3.14}" >&2
    exit 1
fi

failed=
for version in $versions; do
    case " ${CPAPI_FAST_TESTED:-} " in *" $version "*) echo "== CPython $version: tested elsewhere" && continue ;; esac
    echo "== CPython $version"
    python=$(echo "$found" | sed -n "s/^$version //p")
    PYTHON=$python ${MAKE:-make} --no-print-directory suite VENV=".venvs/$version" GROUPS="--group test --group build" \
        || failed="$failed $version"
done
if [ -n "$failed" ]; then
    echo "tests failed on:$failed" >&2
    exit 1
fi
echo "tests passed on: $versions"
