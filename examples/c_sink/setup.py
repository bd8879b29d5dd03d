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
        # The folder of the .pxd files. Cython finds an installed wheel without it, but not an editable install.
        include_path=[str(Path(spec.origin).parents[1])],
        compiler_directives={"language_level": 3},
    ),
)
