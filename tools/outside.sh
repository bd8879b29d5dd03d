#!/bin/sh
# Runs Python on the installed package, in a folder that holds the tests but not the package's sources.
#
# Usage: tools/outside.sh PYTHON ARGUMENTS...   (the interpreter of the environment where the package is installed)
set -eu

python=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r tests benchmarks docs examples README.md CHANGELOG.md pyproject.toml setup.py "$work"
cd "$work"
"$python" -c "
import cpapi_fast, sysconfig, pathlib
where = pathlib.Path(cpapi_fast.__file__).resolve()
assert where.is_relative_to(pathlib.Path(sysconfig.get_path('platlib')).resolve()), where
print('testing', where)
"
"$python" "$@"
