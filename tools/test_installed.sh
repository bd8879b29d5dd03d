#!/bin/sh
# Runs Python on the installed package, in a folder that has the tests but not the sources of the package.
#
# Usage: tools/test_installed.sh PYTHON ARGUMENTS...   (PYTHON of the environment where the package is installed)
set -eu

python=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Without __pycache__, because another interpreter may write to it at the same time.
"$python" - "$work" <<'END'
import pathlib, shutil, sys
work = pathlib.Path(sys.argv[1])
for name in ("tests", "benchmarks", "docs", "examples"):
    shutil.copytree(name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
for name in ("README.md", "CHANGELOG.md", "pyproject.toml", "setup.py"):
    shutil.copy2(name, work)
END
cd "$work"
"$python" -c "
import cpapi_fast, sysconfig, pathlib
where = pathlib.Path(cpapi_fast.__file__).resolve()
assert where.is_relative_to(pathlib.Path(sysconfig.get_path('platlib')).resolve()), where
print('testing', where)
"
"$python" "$@"
