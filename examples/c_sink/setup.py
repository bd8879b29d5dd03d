"""Compiles last_prices.pyx against the installed cpapi_fast: `python setup.py build_ext --inplace`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

spec = find_spec("cpapi_fast")
if spec is None or spec.origin is None:
    raise SystemExit("cpapi_fast is not installed in this environment; install it first")

setup(
    name="last-prices",
    ext_modules=cythonize(
        [Extension("last_prices", ["last_prices.pyx"])],
        # Where the .pxd files are. An installed wheel is found without; an editable install is not on sys.path.
        include_path=[str(Path(spec.origin).parents[1])],
        compiler_directives={"language_level": 3},
    ),
)
