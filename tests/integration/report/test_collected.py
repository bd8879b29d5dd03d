"""The report of what `collect` wrote says what happened: lost connections, gaps, a restart. The command prints it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from cpapi_fast.cli import main
from cpapi_fast.collect.collector import Collector
from cpapi_fast.events import FeedState
from cpapi_fast.report.findings import headline_of
from cpapi_fast.report.gather import gather
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.harness import CONIDS, captured, happened, options_of
from tests.oracles import report as oracle
from tests.support.runs import every, write_capture


async def collect(gateway: SimulatedGateway, client: Client, folder: Path, *, drops: int) -> None:
    """Collect from a gateway that ends its sockets so many times."""
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, folder, tables=("ticks", "quotes")))
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
    for drop in range(1, drops + 1):
        gateway.faults.drop_sockets()
        gaps = len(CONIDS) * drop
        await gateway.wait_for(lambda wanted=gaps: collector.status().gaps >= wanted)
        rows = sum(quote.rows for quote in collector.status().latest)
        await gateway.wait_for(lambda wanted=rows: sum(quote.rows for quote in collector.status().latest) > wanted + 4)
    stop.set()
    await running


@pytest.mark.gateway(speed=50.0)
async def test_faults_and_a_restart(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    await collect(gateway, client, tmp_path, drops=2)
    lines = happened(tmp_path)
    frames = len(captured(tmp_path))
    await collect(gateway, client, tmp_path, drops=0)
    found = gather(tmp_path)

    first, second = found.runs
    assert [run.is_ended for run in found.runs] == [True, True]
    assert (first.frames, found.frames) == (frames, len(oracle.frames_of(tmp_path)))
    assert first.connections == sum(line["cause"] == "socket_opened" for line in lines if line["type"] == "state") >= 3
    gaps = [line for line in lines if line["type"] == "gap"]
    own = [gap for gap in found.gaps if gap.run == first.run]
    assert sorted((gap.topic, gap.start_ns, gap.cause) for gap in own) == sorted(
        (line["subscription"], line["last_good_ns"], line["cause"]) for line in gaps
    )
    assert found.holes == ((first.end_ns, second.start_ns),)
    for one in found.instruments:
        assert one.symbol
        assert one.gaps >= 2
        # Each gap is in the missing time, and so is the time between the runs.
        for gap in (gap for gap in own if gap.conid == one.conid):
            assert any(start <= gap.start_ns and gap.end_ns <= end for start, end in one.missing)
        assert one.missing[-1] == found.holes[0]
    states = {span.state for span in found.states}
    assert {FeedState.STREAMING.value, FeedState.CONNECTING.value} <= states
    for identity in found.identities:
        assert not identity.is_loss
        if identity.output == "capture":
            assert identity.missing == 0
    assert found.lateness is not None
    assert sum(found.lateness.counts) == len(oracle.lateness(tmp_path))
    assert {file.state for file in found.files} == {"finished"}
    assert headline_of(found).level == "missing"
    assert gateway.session_id not in repr(found)


def test_the_command_writes_the_page_and_prints_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_capture(tmp_path, "1f9a3c", every(1.0, 0, 20, 265598))
    out = tmp_path / "page.html"
    assert main(["report", str(tmp_path), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0] == "Nothing is missing for certain, but check what is below"
    assert "  check: Run 1f9a3c has no events, so its gaps are unknown." in lines
    assert lines[-1] == f"open {out} (1.3 MB)"
    assert out.read_text().startswith("<!DOCTYPE html>")

    monkeypatch.chdir(tmp_path)
    assert main(["report", "."]) == 0
    assert len(list(tmp_path.glob("cpapi-fast-report-*Z.html"))) == 1


def test_errors_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> tuple[int, str]:
        try:
            code = main(["report", *map(str, arguments)])
        except SystemExit as exc:
            code = int(exc.code or 0)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return code, printed.err

    code, text = refused(tmp_path)
    assert code == 2
    assert "has no file of a run: it is empty; give the folder of `collect --out`" in text
    write_capture(tmp_path, "1f9a3c", every(1.0, 0, 5, 265598))
    out = tmp_path / "page.html"
    out.write_text("mine")
    code, text = refused(tmp_path, "--out", out)
    assert (code, out.read_text()) == (2, "mine")
    assert "files are never overwritten" in text
    out.unlink()
    for name in ("numpy", "bokeh.embed"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, name, None)
            code, text = refused(tmp_path, "--out", out)
        assert code == 1
        assert 'a report needs bokeh: pip install "bokeh>=3.6"' in text
        assert not out.exists()
