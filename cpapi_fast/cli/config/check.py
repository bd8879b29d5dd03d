"""`collect --check`: checks options, files and the folder without a connection, and prints the effective settings"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.preparation import check_lines
from cpapi_fast.errors import OutputError
from cpapi_fast.rest.tls import Tls

from .settings import Settings
from .text_file import check_file
from .values import is_secret, toml_text


def effective_lines(settings: Settings) -> list[str]:
    """Return the effective settings as the lines of a TOML file, with the source of each value as a comment.

    Accounts are redacted. An option that is not set, or whose value has something redacted, is a comment.
    """
    lines: list[str] = []
    for key, one in settings.current.items():
        action = settings.actions[key]
        text = toml_text(action, one.value)
        hidden = "# " if is_secret(action, one.value) else ""
        lines.append(f"{hidden}{key} = {text}  # {one.where}" if text else f"# {key} is not set")
    return lines


def check_files(options: CollectOptions, tls: Tls | None, replay: str | None, cache: Path | None) -> None:
    """Check what a run needs of this machine. Leaves nothing behind.

    Args:
        options: the options of the run.
        tls: the TLS policy; None without TLS.
        replay: the file that a simulated gateway sends; None without one.
        cache: the folder of the cache of contracts; None without one.

    Raises:
        ConfigError: the file of certificates is unusable.
        LimitError: there are more instruments than market data lines.
        OutputError: a folder cannot be created or written to.
        SettingsError: the file to send cannot be read.
    """
    if tls is not None and tls.mode in ("verify", "ca_file"):
        tls.context_of_files()
    check_lines(options)
    if replay is not None:
        check_file(replay)
    _check_folder(options.out, "--out")
    if options.feed.record_decisions is not None:
        # Its file is created by the run, and may not exist.
        _check_folder(Path(options.feed.record_decisions).absolute().parent, "--record-decisions")
    if cache is not None:
        _check_folder(cache, "--contract-cache")


def _check_folder(folder: Path, option: str) -> None:
    try:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if _exists(path))
        # Only writing tells: a file system may be read-only, or full.
        if existing == folder.absolute():
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(b"\0")
                file.flush()
        else:
            with tempfile.TemporaryDirectory(dir=existing):
                pass
    except OSError as exc:
        text = f"cannot write to {folder} ({option}): {exc.strerror or exc}"
        raise OutputError(text, path=str(folder)) from None


def _exists(path: Path) -> bool:
    # Unlike `Path.exists`, it does not hide why a path is impossible.
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True
