"""The command line: commands, options and terminal screens."""

# A program calls `cpapi_fast.cli.main([...])`: the module is callable.
from . import main as main
