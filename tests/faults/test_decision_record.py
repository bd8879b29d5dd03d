"""The decision record of a feed on real sockets is replayed exactly, and contains no secret."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import cpapi_fast as cf
from cpapi_fast.feed.machine import Emit

from .catalog import FAULTS
from .rig import Rig

#: One fault of each kind that a decision depends on.
NAMES = ["reset", "session_changes", "competing_login", "logged_out", "session_expires", "gateway_stalls"]
ACCOUNT = "DU7654321"


@pytest.mark.time_limit(180.0)
@pytest.mark.parametrize("names", [NAMES[:3], NAMES[3:]], ids=["-".join(NAMES[:3]), "-".join(NAMES[3:])])
async def test_a_run_with_faults_is_replayed_exactly(tmp_path: Path, names: list[str]) -> None:
    file = tmp_path / "decisions.jsonl"
    rig = Rig(feed={"record_decisions": file})
    session_ids: set[str] = set()
    async with rig:
        await rig.feed.subscribe_topic(
            f"sld+{ACCOUNT}", f"sld+{ACCOUNT}+{{}}", f"uld+{ACCOUNT}+{{}}", needs_brokerage=False
        )
        for name in names:
            await rig.streams()
            session_ids.add(rig.gateway.session_id)
            await FAULTS[name].act(rig, Random(5))
        await rig.streams()
        session_ids.add(rig.gateway.session_id)
    decisions = list(cf.replay_decisions(file))
    events = [action.event for decision in decisions for action in decision.actions if isinstance(action, Emit)]
    changes = [event for event in events if isinstance(event, cf.StateChange)]
    # An account in a topic is replaced by a placeholder, and the text of an error may be.
    reported = [(change.time_ns, change.state, change.previous, change.cause) for change in rig.events.changes]
    assert [(change.time_ns, change.state, change.previous, change.cause) for change in changes] == reported
    gaps = [(gap.last_good_ns, gap.first_good_ns, gap.cause) for gap in rig.events.gaps]
    assert [(gap.last_good_ns, gap.first_good_ns, gap.cause) for gap in events if isinstance(gap, cf.Gap)] == gaps
    assert gaps

    text = file.read_text(encoding="ascii")
    assert ACCOUNT not in text
    assert "sld+[redacted 1]" in text
    assert not any(session_id in text for session_id in session_ids)
    assert "cookie" not in text.lower()
