"""Compiles the .pyx files of this folder into build/benchmarks on first use; they are not part of the package."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

import cpapi_fast

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "benchmarks"


def native(name: str = "native") -> ModuleType:
    """Return a compiled module. It is compiled if its source or a .pxd file of the package is newer."""
    source = HERE / f"{name}.pyx"
    file_name = f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    target = BUILD / file_name
    interfaces = Path(cpapi_fast.__file__).parent.rglob("*.pxd")
    newest = max(path.stat().st_mtime for path in (source, *interfaces))
    if not target.exists() or target.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        # Contenders may start at the same time, so each compiles in its own folder. The last result replaces the
        # others.
        with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
            _compile(source, Path(scratch))
            (Path(scratch) / file_name).replace(target)
    spec = importlib.util.spec_from_file_location(name, target)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {target}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _compile(source: Path, folder: Path) -> None:
    # Imported here, because a process that only runs the module does not need them.
    from Cython.Build import cythonize
    from setuptools import Extension
    from setuptools.dist import Distribution

    extension = Extension(source.stem, [str(source)], extra_compile_args=["-O3"])
    distribution = Distribution(
        {
            "ext_modules": cythonize([extension], build_dir=str(folder), quiet=True, force=True),
            "script_name": source.stem,
        }
    )
    command = distribution.get_command_obj("build_ext")
    command.build_lib = str(folder)
    command.build_temp = str(folder / "temp")
    command.ensure_finalized()
    command.run()
