"""The cache of contracts: an age, bounds, and no file that could stop a request."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.contract_cache import ContractCache
from cpapi_fast.errors import ConfigError
from tests.support.clocks import HandClock

KEY = "https://localhost:5000/v1/api/trsrv/stocks?symbols=IBM"
VALUE = {"IBM": [{"name": "IBM", "contracts": [{"conid": 8314}]}]}


def file_of(cache: ContractCache) -> Path:
    (path,) = cache.folder.glob("*.json")
    return path


def counts(cache: ContractCache) -> tuple[int, int, int]:
    return cache.hits, cache.misses, cache.ignored


def test_an_entry_is_found_by_another_program(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path / "a" / "b")
    assert cache.get([KEY]) == {}
    cache.put({KEY: VALUE, "other": [1, None, "ü"]})
    other = ContractCache(str(tmp_path / "a" / "b"))
    assert other.get([KEY, "other", "third"]) == {KEY: VALUE, "other": [1, None, "ü"]}
    assert counts(other) == (2, 1, 0)
    cache.put({KEY: 5})
    assert other.get([KEY]) == {KEY: 5}
    assert "hits=3" in repr(other)


def test_an_entry_may_be_kept_for_ever(tmp_path: Path) -> None:
    clock = HandClock()
    cache = ContractCache(tmp_path, max_age_s=1e300, clock=clock)
    cache.put({KEY: VALUE})
    clock.move(1e9)
    assert cache.get([KEY]) == {KEY: VALUE}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_owner_can_read_it_and_nothing_unfinished_is_left(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path / "cache")
    cache.put({KEY: VALUE})
    assert stat.S_IMODE(file_of(cache).stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert [path.suffix for path in cache.folder.iterdir()] == [".json"]


def test_an_entry_has_an_age(tmp_path: Path) -> None:
    clock = HandClock()
    cache = ContractCache(tmp_path, max_age_s=100.0, clock=clock)
    cache.put({KEY: VALUE})
    clock.move(99.0)
    assert cache.get([KEY]) == {KEY: VALUE}
    clock.move(2.0)
    assert cache.get([KEY]) == {}
    assert counts(cache) == (1, 1, 0)
    cache.put({KEY: 1})
    # The clock was set back: the age is not known.
    clock.move(-3600.0)
    assert cache.get([KEY]) == {}


def test_the_oldest_entries_are_removed_and_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other.json").write_text("{}")
    abandoned = tmp_path / f"{'0' * 40}.{'1' * 8}.part"
    abandoned.write_text("")
    os.utime(abandoned, (1, 1))
    cache = ContractCache(tmp_path, max_entries=10)
    for number in range(200):
        cache.put({f"key {number}": number})
    entries = [path for path in tmp_path.glob("*.json") if path.name != "other.json"]
    assert 10 <= len(entries) < 10 + 65
    assert (tmp_path / "notes.txt").exists()
    assert (tmp_path / "other.json").exists()
    assert not abandoned.exists()
    assert cache.get(["key 199"]) == {"key 199": 199}


def test_the_bytes_are_bounded(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path, max_bytes=1_000)
    cache.put({"long": "x" * 2_000})
    assert cache.get(["long"]) == {}
    for number in range(129):
        cache.put({f"key {number}": "x" * 100})
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000
    assert cache.get(["key 128"])


def test_few_long_entries_are_bounded_too(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path, max_bytes=1_000_000)
    for number in range(40):
        cache.put({f"key {number}": "x" * 200_000})
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000_000


def test_a_few_entries_are_bounded_too(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path, max_entries=3)
    for number in range(40):
        cache.put({f"key {number}": number})
        assert len(list(tmp_path.iterdir())) <= 6


def test_no_account_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "U1234567"
    file.write_text("")
    cache = ContractCache(file / "cache")
    folder = ContractCache(tmp_path / "DU7654321")
    folder.put({KEY: VALUE})
    file_of(folder).write_bytes(b"x")
    with caplog.at_level(logging.WARNING, "cpapi_fast"):
        cache.put({KEY: VALUE})
        folder.get([KEY])
    texts = [record.getMessage() for record in caplog.records] + [repr(cache), repr(folder)]
    assert len(texts) == 4
    assert all("[redacted]" in text and "1234567" not in text and "7654321" not in text for text in texts)


def test_one_entry_that_cannot_be_written_does_not_stop_the_others(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path)
    cache.put({"first": 1})
    path = file_of(cache)
    path.unlink()
    path.mkdir()
    cache.put({"zero": 0, "first": 1, "second": 2})
    assert cache.get(["zero", "first", "second"]) == {"zero": 0, "second": 2}
    assert [one.suffix for one in tmp_path.iterdir()] == [".json"] * 3
    # Once as it could not be replaced, and once as it could not be read.
    assert cache.ignored == 2


def damaged(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


ENTRY = {"format": "cpapi_fast.contract", "version": 1, "key": KEY, "time_ns": 0, "value": 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[]", "no entry of a cache"),
        (b"5", "no entry of a cache"),
        (b"{}", "no entry of a cache"),
        (json.dumps(ENTRY | {"format": "x"}), "no entry of a cache"),
        (json.dumps(ENTRY | {"version": 2}), "another version"),
        (json.dumps(ENTRY | {"key": "other"}), "another request"),
        (json.dumps(ENTRY | {"time_ns": "soon"}), "no time"),
        (json.dumps({name: ENTRY[name] for name in ENTRY if name != "value"}), "no entry of a cache"),
    ],
)
def test_a_damaged_or_foreign_file_is_ignored_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes, why: str
) -> None:
    cache = ContractCache(tmp_path)
    cache.put({KEY: VALUE})
    file_of(cache).write_bytes(damaged(content))
    with caplog.at_level(logging.WARNING, "cpapi_fast"):
        assert cache.get([KEY]) == {}
        assert cache.get([KEY]) == {}
    (record,) = caplog.records
    assert why in record.getMessage()
    assert counts(cache) == (0, 2, 2)
    # It is replaced by the next response.
    cache.put({KEY: VALUE})
    assert cache.get([KEY]) == {KEY: VALUE}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_pipes_and_folders_are_not_followed(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path / "cache")
    cache.put({KEY: VALUE})
    path = file_of(cache)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert cache.get([KEY]) == {}
    path.unlink()
    os.mkfifo(path)
    assert cache.get([KEY]) == {}
    path.unlink()
    path.mkdir()
    assert cache.get([KEY]) == {}
    assert cache.ignored == 3


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "file"
    file.write_text("")
    cache = ContractCache(file / "cache")
    with caplog.at_level(logging.WARNING, "cpapi_fast"):
        cache.put({KEY: VALUE})
        cache.put({KEY: VALUE})
        assert cache.get([KEY]) == {}
    assert "cannot write to the cache" in caplog.records[0].getMessage()
    assert ContractCache("nul\0").get([KEY]) == {}
    ContractCache("nul\0").put({KEY: VALUE})


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"x"


def test_a_value_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    cache = ContractCache(tmp_path)
    cache.put({"\ud800": 1})
    assert cache.get(["\ud800"]) == {}
    cache.put({"huge": 2**80, KEY: VALUE})
    assert cache.get(["huge", KEY]) == {KEY: VALUE}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("",), {}),
        ((None,), {}),
        ((5,), {}),
        ((b"x",), {}),
        ((BytesPath(),), {}),
        (("x",), {"max_age_s": 0}),
        (("x",), {"max_age_s": float("inf")}),
        (("x",), {"max_entries": 0}),
        (("x",), {"max_bytes": 1.5}),
    ],
)
def test_invalid_options(arguments: Any, options: Any) -> None:
    with pytest.raises(ConfigError):
        ContractCache(*arguments, **options)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the folder differs")
def test_the_folder_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ContractCache.default().folder == tmp_path / "cpapi_fast"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert ContractCache.default().folder == tmp_path / "home" / ".cache" / "cpapi_fast"
