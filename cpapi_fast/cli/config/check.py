"""`collect --check`: checks options, files and the folder without a connection, and prints the effective settings"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.preparation import check_lines
from cpapi_fast.errors import OutputError
from cpapi_fast.rest.tls import Tls

from .settings import Settings
from .values import toml_text


def effective_lines(settings: Settings) -> list[str]:
    """Return the effective settings as the lines of a TOML file, with the source of each value as a comment.

    Accounts are redacted. An option that is not set is a comment.
    """
    lines: list[str] = []
    for key, one in settings.current.items():
        text = toml_text(settings.actions[key], one.value)
        lines.append(f"{key} = {text}  # {one.where}" if text else f"# {key} is not set")
    return lines


def check_files(options: CollectOptions, tls: Tls | None) -> None:
    """Check what a run needs of this machine. Leaves nothing behind.

    Args:
        options: the options of the run.
        tls: the TLS policy; None without TLS.

    Raises:
        ConfigError: the file of certificates is unusable.
        LimitError: there are more instruments than market data lines.
        OutputError: the folder cannot be created or written to.
    """
    if tls is not None and tls.mode in ("verify", "ca_file"):
        tls.context_of_files()
    check_lines(options)
    _check_folder(options.out)


def _check_folder(folder: Path) -> None:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        # Only writing tells: a file system may be read-only, or full.
        if existing == folder.absolute():
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(b"\0")
                file.flush()
        else:
            with tempfile.TemporaryDirectory(dir=existing):
                pass
    except OSError as exc:
        raise OutputError(f"cannot write to {folder}: {exc.strerror or exc}", path=str(folder)) from None
