"""Tables, targets and plots of made-up results."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("resource")

from benchmarks import latency, plots, registry, report, tables, targets
from benchmarks.run import WrongAnswerError


def row(contender: str, job: str, cpu_ns: list[float], *, group: str = "own", is_bound: bool = False) -> dict[str, Any]:
    return {
        "contender": contender,
        "label": contender.replace("_", " "),
        "group": group,
        "job": job,
        "frames": 1_000,
        "cpu_ns": cpu_ns,
        "wall_ns": [2 * value for value in cpu_ns],
        "is_bound_by_sender": is_bound,
    }


def delays(contender: str, p50_ns: float, group: str, pattern: str = targets.STEADY) -> dict[str, Any]:
    named = {"contender": contender, "label": contender, "group": group, "pattern": pattern}
    return named | {"p50_ns": [p50_ns] * 3, "p99_ns": [2 * p50_ns] * 3, "p99.9_ns": [9 * p50_ns] * 3}


def canned() -> dict[str, Any]:
    machine = {"cpu": "a CPU", "cores": 2, "system": "Linux", "python": "3.11", "load_at_start": 0.1}
    rows = [
        row("picows_floor", "count", [50.0, 40.0, 60.0], group="limit", is_bound=True),
        row("cpapi_on_batch", "route", [60.0, 55.0, 70.0]),
        row("picows_orjson", "route", [500.0, 580.0, 900.0], group="python"),
        row("bezant", "route", [900.0, 960.0, 990.0], group="peer"),
        row("bezant", "dict", [1_900.0, 1_960.0, 1_990.0], group="peer"),
    ]
    sizes = ((151, 1.0), (1_400, 1.1), (60_000, 1.2))
    classifier = [
        {"size": size, "position": position, "what": what, "ns": [10 * share, 12 * share]}
        for size, share in sizes
        for what, position in plots.CLASSIFIER_LINES
    ]
    steady = [
        delays("cpapi_on_frame_busy", 30_000.0, "own"),
        delays("raw_recv", 60_000.0, "limit"),
        delays("cpapi_on_frame", 50_000.0, "own"),
        delays("aiohttp_orjson", 40_000.0, "python"),
        delays("aiohttp_orjson", 4_000_000.0, "python", "bursts of 1,000"),
    ]
    results: dict[str, Any] = {"machine": machine | {"revision": "0", "versions": {}}, "classifier": classifier}
    results |= {"throughput": {"smd151 plain": rows, "smd151 TLS": []}, "latency": steady}
    results["targets"] = targets.evaluate(results)
    return results


def verdicts() -> dict[str, dict[str, Any]]:
    return {found["target"]: found for found in canned()["targets"]}


def test_targets_are_ratios_of_medians() -> None:
    found = verdicts()
    assert found["batch, times the floor"]["reached"] == 60 / 50
    assert found["batch, times the floor"]["is_reached"] is True
    assert found["batch, times the floor"]["by_wall"] == 60 / 50
    assert found["batch, times less than bezant"]["reached"] == 960 / 60
    assert found["batch, times less than bezant"]["is_reached"] is True
    assert found["batch, times less than picows + orjson"]["reached"] == pytest.approx(580 / 60)
    assert found["batch, times less than picows + orjson"]["is_reached"] is False


def test_targets_of_latency() -> None:
    found = verdicts()
    assert found["latency p50 in busy-poll mode, of raw_recv"]["reached"] == 0.5
    assert found["latency p50 in busy-poll mode, of raw_recv"]["is_reached"] is True
    assert found["latency p50 in normal mode, of the best other Python client"]["reached"] == 1.25
    assert found["latency p50 in normal mode, of the best other Python client"]["is_reached"] is False


def test_a_target_without_its_contenders_is_left_out() -> None:
    assert "C sink, times the floor" not in verdicts()
    assert targets.evaluate({}) == []


def test_every_target_names_contenders_and_jobs_that_exist() -> None:
    jobs = {contender.name: contender.jobs for contender in registry.PYTHON}
    for target in targets.CPU:
        for name, job in (target.own, target.other):
            assert name in PEERS or job in jobs[name], target


#: Built by `make peers`; benchmarks/peers/build.py has them.
PEERS = ("bezant", "fastwebsockets_sonic", "tungstenite_alone")


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_results(canned())
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (batch,) = [line for line in lines if line.startswith("cpapi on batch")]
    assert batch.split() == ["cpapi", "on", "batch", "route", "60", "(55", "..", "70)", "120", "(110", "..", "140)"]
    (floor,) = [line for line in lines if line.startswith("picows floor")]
    assert floor.endswith("limited by the sender, compare by CPU")
    (sonic,) = [line for line in lines if line.startswith("batch, times less than picows + orjson")]
    assert sonic.endswith("not reached")
    assert any(line.startswith("aiohttp_orjson") and "4,000.0 (4,000.0 .. 4,000.0)" in line for line in lines)
    assert any(line.startswith("memcpy, tail") for line in lines)


def test_plots_are_svg_with_every_contender(tmp_path: Path) -> None:
    paths = plots.write(canned(), tmp_path)
    assert [path.name for path in paths] == [
        "cpu-smd151-plain.svg",
        "latency.svg",
        "classifier.svg",
        "cpu-route.png",
    ]
    texts = {
        path.name: "".join(ElementTree.parse(path).getroot().itertext()) for path in paths if path.suffix == ".svg"
    }
    assert "picows orjson" in texts["cpu-smd151-plain.svg"]
    assert "960 ns" in texts["cpu-smd151-plain.svg"]
    assert "bursts of 1,000" in texts["latency.svg"]
    assert "topic last: 11 ns to 13.2 ns" in texts["classifier.svg"]


def test_plots_are_redrawn_from_a_file_and_are_the_same_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text(json.dumps(canned()))
    plots.main([str(tmp_path)])
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    first = [path.read_bytes() for path in paths]
    assert len(first) == 4
    plots.main([str(tmp_path)])
    assert [path.read_bytes() for path in paths] == first


def test_bars_grow_with_the_logarithm() -> None:
    figure = plots.bars("smd151 plain", canned()["throughput"]["smd151 plain"])
    assert [ax.get_xscale() for ax in figure.axes] == ["log"] * 3
    assert {ax.get_xlim() for ax in figure.axes} == {(10.0, 2 * 1_990.0)}
    assert [bar.get_width() for bar in figure.axes[1].patches] == [60.0, 580.0, 960.0]


def test_the_figure_of_the_readme_shows_one_job_in_1200_by_600_pixels(tmp_path: Path) -> None:
    plots.write(canned(), tmp_path)
    header = (tmp_path / "cpu-route.png").read_bytes()[16:24]
    assert struct.unpack(">II", header) == (1_200, 600)
    (panel,) = plots.headline(canned()["throughput"]["smd151 plain"]).axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["cpapi on batch", "picows orjson", "bezant"]


@pytest.mark.parametrize(
    ("ns", "text"),
    [(7.25, "7.25 ns"), (72.4, "72.4 ns"), (1_240, "1.24 µs"), (50_700, "50.7 µs"), (3e6, "3 ms"), (2e9, "2 s")],
)
def test_durations_have_three_digits_and_a_unit(ns: float, text: str) -> None:
    assert plots.in_units(ns) == text


def test_latency_leaves_out_the_warm_up() -> None:
    sent = list(range(0, 1_000_000, 1_000))
    seen = [there + (900 if there < 50_000 else 10 + there // 100_000) for there in sent]
    assert latency.summary(sent, seen, 50) == {"p50": 15.0, "p99": 19.0, "p99.9": 19.0}


@pytest.mark.parametrize(
    ("seen", "complaint"), [([1, 2], "2 of 3 frames were stamped"), ([5, 5, 2], "before it was sent")]
)
def test_impossible_stamps_are_refused(seen: list[int], complaint: str) -> None:
    with pytest.raises(WrongAnswerError, match=complaint):
        latency.summary([1, 2, 3], seen, 0)


def test_slow_clients_get_time_between_bursts() -> None:
    chosen = {contender.name: contender for contender in registry.PYTHON}
    _, quick = latency.patterns(chosen["cpapi_on_batch"])
    _, slow = latency.patterns(chosen["websocket_client_json"])
    assert quick.gap_us < slow.gap_us
    assert quick.frames == slow.frames == 20_000


@pytest.mark.parametrize("arguments", [["--smoke", "--quick"], ["--job", "none"], ["--bogus"], ["--runs", "0"]])
def test_report_refuses_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report.parse(arguments)
    assert "usage:" in capsys.readouterr().err


def test_report_lists_the_contenders(monkeypatch: pytest.MonkeyPatch) -> None:
    # The peers are built after the tests have run.
    monkeypatch.delenv("CPAPI_FAST_REQUIRE_ALL", raising=False)
    with pytest.raises(SystemExit, match="no contender unknown; there are"):
        report.main(["--only", "unknown"])
