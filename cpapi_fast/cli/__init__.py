"""The command line: commands, options and terminal screens."""
