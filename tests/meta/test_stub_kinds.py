"""The numbers that C and Python both have are equal."""

from __future__ import annotations

import re
from pathlib import Path

import cpapi_fast
from cpapi_fast.frames import classifier
from cpapi_fast.protocol.kinds import FrameKind

PXD = (Path(cpapi_fast.__path__[0]) / "frames" / "classifier.pxd").read_text(encoding="utf-8")


def constants(prefix: str) -> dict[str, int]:
    """The `PREFIX_NAME = number` lines of classifier.pxd."""
    return {name: int(number) for name, number in re.findall(rf"^    {prefix}_(\w+) = (-?\d+)$", PXD, re.MULTILINE)}


def test_kinds():
    assert constants("KIND") == {kind.name: kind.value for kind in FrameKind}


def test_kinds_count_from_zero():
    """A kind indexes a tuple of the enum's members."""
    assert [kind.value for kind in FrameKind] == list(range(7))


def test_verdicts():
    verdicts = constants("VERDICT")
    assert len(verdicts) == 3
    assert verdicts == {name: getattr(classifier, name) for name in verdicts}


def test_labels():
    labels = ["heartbeat", "system", "market_data", "order", "pnl", "other", "malformed"]
    assert [kind.label for kind in FrameKind] == labels
