"""A real Prometheus scrapes a run, an alert fires after a fault, and every query of the dashboard has data."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import cpapi_fast as cf
from cpapi_fast.metrics import METRICS
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter
from tests.integration.collect.harness import options_of

EXAMPLES = Path(__file__).parents[3] / "examples"
RULES = EXAMPLES / "prometheus"
DASHBOARD = EXAMPLES / "grafana" / "dashboard.json"

#: Queries of the dashboard that may have no data: nothing was lost with a file.
MAY_BE_EMPTY = ("cpapi_fast_output_lost_total",)

LIMIT_S = 60.0

#: Without the library that a run with sanitizers loads into each process: these programs are not written in C.
ENVIRONMENT = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}


def queries() -> dict[str, str]:
    """The queries of the dashboard, with its variables replaced, by a text that names their panel."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$instance", ".+").replace("$__rate_interval", "1m")
            assert "$" not in text, "a variable that this test does not know"
            found[f"{panel['title']}: {target['legendFormat']}"] = text
    return found


# --- the files -------------------------------------------------------------------------------------------------------


def test_promtool_accepts_the_rules_and_the_configuration(promtool: str) -> None:
    for what in (["rules", "alerts.yml"], ["config", "prometheus.yml"]):
        subprocess.run(
            [promtool, "check", *what], cwd=RULES, check=True, capture_output=True, timeout=LIMIT_S, env=ENVIRONMENT
        )


def test_the_unit_tests_of_the_rules_pass_and_find_a_changed_rule(promtool: str, tmp_path: Path) -> None:
    text = (RULES / "alerts.yml").read_text(encoding="utf-8")
    tests = (RULES / "alerts_test.yml").read_text(encoding="utf-8")
    (tmp_path / "alerts_test.yml").write_text(tests, encoding="utf-8")

    def run(rules: str) -> int:
        (tmp_path / "alerts.yml").write_text(rules, encoding="utf-8")
        command = [promtool, "test", "rules", "alerts_test.yml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=LIMIT_S, env=ENVIRONMENT, check=False)
        return done.returncode

    assert run(text) == 0
    names = re.findall(r"- alert: (\w+)", text)
    assert len(names) == 11
    for name in names:
        assert len(re.findall(rf"\b{name}\b", tests)) >= 2, f"{name} is tested with and without its condition"
    # One that never fires, and one that always does.
    assert run(text.replace("cpapi_fast_open_gap_seconds > 120", "cpapi_fast_open_gap_seconds > 1e9")) != 0
    assert run(text.replace("cpapi_fast_last_frame_age_seconds > 60", "cpapi_fast_last_frame_age_seconds > -1")) != 0


def test_rules_and_dashboard_use_metrics_of_the_catalogue() -> None:
    known = {metric.full_name for metric in METRICS.values()}
    texts = [(RULES / name).read_text(encoding="utf-8") for name in ("alerts.yml", "alerts_test.yml")]
    texts.append(DASHBOARD.read_text(encoding="utf-8"))
    for text in texts:
        used = set(re.findall(r"\bcpapi_fast_\w+", text))
        assert {re.sub(r"_bucket$", "", name) for name in used} <= known


def test_the_panels_of_the_dashboard_have_texts_and_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & places, panel["title"]
        places |= covered
        assert panel["type"] == "row" or panel["description"]


# --- a running Prometheus --------------------------------------------------------------------------------------------


class Prometheus:
    """A running Prometheus and its HTTP API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def api(self, path: str, **parameters: str) -> Any:
        async with self._http.get(f"{self.url}/api/v1/{path}", params=parameters) as response:
            body = await response.json()
        assert body["status"] == "success", body
        return body["data"]

    async def query(self, text: str) -> list[Any]:
        result: list[Any] = (await self.api("query", query=text))["result"]
        return result

    async def wait_for(self, text: str) -> list[Any]:
        """Wait until a query has a result."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                if found := await self.query(text):
                    return found
                await asyncio.sleep(0.2)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def running(program: str, folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Start a Prometheus with the rules of the example, which fire at once, and stop it at the end."""
    rules = (RULES / "alerts.yml").read_text(encoding="utf-8")
    (folder / "alerts.yml").write_text(re.sub(r"\bfor: \w+", "for: 0s", rules), encoding="utf-8")
    config = (RULES / "prometheus.yml").read_text(encoding="utf-8")
    config = config.replace("127.0.0.1:9464", target).replace("15s", "250ms")
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    # Another program may take the port in between.
    for _ in range(3):
        url = f"http://127.0.0.1:{free_port()}"
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={url.removeprefix('http://')}",
            env=ENVIRONMENT,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        assert process.stdout is not None
        log: list[str] = []

        async def read(process: asyncio.subprocess.Process = process, log: list[str] = log) -> None:
            assert process.stdout is not None
            log += [line.decode(errors="replace") async for line in process.stdout]

        reader = asyncio.create_task(read())
        try:
            async with aiohttp.ClientSession() as http, asyncio.timeout(LIMIT_S) as limit:
                while process.returncode is None:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with http.get(f"{url}/-/ready") as response:
                            if response.status == 200:
                                break
                    await asyncio.sleep(0.1)
                if process.returncode is None:
                    limit.reschedule(None)
                    yield Prometheus(url, http)
                    return
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            await reader
    pytest.fail(f"Prometheus did not start: {''.join(log[-5:])}")


@pytest.mark.time_limit(240)
async def test_a_run_is_scraped_an_alert_fires_and_the_dashboard_has_data(
    gateway: SimulatedGateway, client: cf.Client, enter: Enter, tmp_path: Path, prometheus: str
) -> None:
    out, folder = tmp_path / "out", tmp_path / "prometheus"
    folder.mkdir()
    stop, collector = asyncio.Event(), cf.Collector(client, options_of(client, out, flush_interval_s=0.2))
    server = await enter(cf.MetricsServer(collector, max_conids=1))
    run = asyncio.create_task(collector.run(stop))
    target = f"127.0.0.1:{server.port}"
    async with running(prometheus, folder, target) as scraper:
        await scraper.wait_for('up{job="cpapi-fast"} == 1')
        await scraper.wait_for('cpapi_fast_feed_state{state="streaming"} == 1')
        targets = (await scraper.api("targets"))["activeTargets"]
        assert [(one["health"], one["lastError"]) for one in targets] == [("up", "")]
        metadata = await scraper.api("metadata")
        for metric in METRICS.values():
            if metric.full_name in metadata:
                (known,) = metadata[metric.full_name]
                assert (known["type"], known["help"]) == (metric.type, metric.text)
        firing = 'ALERTS{alertstate="firing", alertname="CpapiFastNotStreaming"}'
        await scraper.wait_for(f"absent({firing})")

        gateway.faults.begin_maintenance()
        gateway.faults.drop_sockets(reset=True)
        (alert,) = await scraper.wait_for(firing)
        assert alert["metric"]["instance"] == target
        alerts = {one["labels"]["alertname"] for one in (await scraper.api("alerts"))["alerts"]}
        assert "CpapiFastNotStreaming" in alerts
        await scraper.wait_for('cpapi_fast_rest_requests_total{status="503"} > 0')

        gateway.faults.end_maintenance()
        await scraper.wait_for('cpapi_fast_feed_state{state="streaming"} == 1')
        await scraper.wait_for(f"absent({firing})")
        await scraper.wait_for("cpapi_fast_gap_seconds_total > 0")
        await scraper.wait_for("cpapi_fast_reconnects_total > 0")
        await scraper.wait_for("rate(cpapi_fast_output_write_latency_seconds_count[1m]) > 0")

        for where, text in queries().items():
            if any(name in text for name in MAY_BE_EMPTY):
                assert await scraper.query(text) == [], where
                continue
            found = await scraper.wait_for(text)
            if where.startswith("Identity"):
                assert {one["value"][1] for one in found} == {"0"}
        assert await scraper.query("topk(1, scrape_samples_scraped)")
    stop.set()
    await run
