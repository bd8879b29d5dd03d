"""Compiles `native.pyx` into build/benchmarks on first use; it is not part of the package."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "benchmarks"


def native() -> ModuleType:
    """The compiled module, compiled again when its source or the classifier's interface is newer."""
    source = HERE / "native.pyx"
    target = BUILD / f"native{sysconfig.get_config_var('EXT_SUFFIX')}"
    newest = max(path.stat().st_mtime for path in (source, HERE.parent / "cpapi_fast" / "classifier.pxd"))
    if not target.exists() or target.stat().st_mtime < newest:
        _compile(source)
    spec = importlib.util.spec_from_file_location("native", target)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {target}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["native"] = module
    spec.loader.exec_module(module)
    return module


def _compile(source: Path) -> None:
    # Imported here, since a process that only runs needs neither.
    from Cython.Build import cythonize
    from setuptools import Extension
    from setuptools.dist import Distribution

    extension = Extension("native", [str(source)], extra_compile_args=["-O3"])
    distribution = Distribution(
        {"ext_modules": cythonize([extension], build_dir=str(BUILD), quiet=True, force=True), "script_name": "native"}
    )
    command = distribution.get_command_obj("build_ext")
    command.build_lib = str(BUILD)
    command.build_temp = str(BUILD / "temp")
    command.ensure_finalized()
    command.run()
