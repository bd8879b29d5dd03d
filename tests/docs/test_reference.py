"""The reference is complete: every public name, every command, every page in the navigation."""

from __future__ import annotations

import inspect
import re

import pytest

import cpapi_fast
from cpapi_fast import messages
from cpapi_fast.simulator.faults import GatewayFaults
from tests.docs.pages import ROOT, name_of

DOCS = ROOT / "docs"
API = "\n".join(path.read_text(encoding="utf-8") for path in sorted((DOCS / "reference" / "api").glob("*.md")))


def test_every_public_name_is_in_the_reference() -> None:
    listed = re.findall(r"^\.\. auto(?:class|function|data):: (\w+)$", API, re.MULTILINE)
    assert set(cpapi_fast.__all__) <= set(listed)
    assert len(listed) == len(set(listed))


def test_every_message_has_a_table_and_an_entry() -> None:
    bases = {"JsonObject", "Message", "OtherMessage"}
    classes = {
        name
        for name in messages.__all__
        if inspect.isclass(value := getattr(messages, name)) and issubclass(value, messages.JsonObject)
    }
    text = (DOCS / "reference" / "messages.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^```\{message-table\} (\w+)$", text, re.MULTILINE)) == sorted(classes - bases)
    listed = set(re.findall(r"^\.\. autoclass:: (\w+)$", API, re.MULTILINE))
    assert set(messages.__all__) - listed == {"Member"}


def test_every_fault_of_the_simulator_is_in_its_reference() -> None:
    methods = {name for name in vars(GatewayFaults) if not name.startswith("_")}
    for page in ("reference/simulator.md", "tutorials/test-your-program.md", "howto/backfill.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        named = set(re.findall(r"\bfaults\.(\w+)", text)) - {"md"}
        assert named <= methods
        if page == "reference/simulator.md":
            assert named == methods


@pytest.mark.parametrize("command", ["collect", "doctor", "tail", "verify", "convert", "simulate"])
def test_every_command_shows_its_help(command: str) -> None:
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert f"```{{command-help}} {command}\n" in text


def test_every_page_is_in_the_navigation() -> None:
    listed = set()
    for path in DOCS.rglob("*.md"):
        for body in re.findall(r"(?ms)^```\{toctree\}.*?\n\n(.*?)^```", path.read_text(encoding="utf-8")):
            listed |= {(path.parent / entry.strip()).with_suffix(".md").resolve() for entry in body.splitlines()}
    pages = {path for path in DOCS.rglob("*.md") if path.name != "index.md" or path.parent != DOCS}
    assert {name_of(page) for page in pages - listed} == set()


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = [re.sub(r"[`_]", "", term).lower() for term in re.findall(r"^(\S.*)\n: ", text, re.MULTILINE)]
    assert len(terms) > 50
    assert terms == sorted(terms)
