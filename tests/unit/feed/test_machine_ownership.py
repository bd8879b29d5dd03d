"""Each part of a subscription's record is changed by its owner module only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cpapi_fast.feed.machine.subscriptions import subscription_state
from cpapi_fast.feed.machine.subscriptions.subscription_state import RequestState, StalenessState, SubscriptionState

FOLDER = Path(subscription_state.__file__).parent
SOURCES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in FOLDER.parent.rglob("*.py")}

OWNERS = {
    **dict.fromkeys(RequestState.__slots__, "subscription_requests"),
    **dict.fromkeys(StalenessState.__slots__, "staleness"),
    **dict.fromkeys(SubscriptionState.__slots__, "subscription_manager"),
    "open_gap": "gaps",
    "last_good_ns": "gaps",
    "is_resubscribed": "gaps",
    "no_stream_from_s": "gaps",
    "timer_s": "timers",
}


def changed(tree: ast.AST) -> set[str]:
    """The attributes that a module sets on other objects than `self`."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, (ast.Store, ast.Del))
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }


def test_no_two_parts_have_an_attribute_of_the_same_name():
    parts = [RequestState.__slots__, StalenessState.__slots__, SubscriptionState.__slots__]
    names = [name for part in parts for name in part]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_a_module_changes_only_what_it_owns(module: str):
    foreign = {name: OWNERS[name] for name in changed(SOURCES[module]) & OWNERS.keys() if OWNERS[name] != module}
    assert foreign == {}


def test_changes_are_found_at_all():
    assert {"is_sent", "renew_s"} <= changed(SOURCES["subscription_requests"])
    assert {"check_s"} <= changed(SOURCES["staleness"])
