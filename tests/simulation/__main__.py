"""`python -m tests.simulation`: simulate a year of the machine, print a report, and fail if there was a violation."""

from __future__ import annotations

import argparse
import gc
import random
import sys

from .simulation import Plan, instruments_of_a_year, simulate


def main() -> int:
    """Run a year."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--days", type=int, default=365, help="how many days (365)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (1); 0 draws one")
    parser.add_argument("--faults", type=float, default=4.0, help="random faults a day, on average (4)")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed == 0 else options.seed
    print(f"seed {seed}", flush=True)
    # The run makes millions of small objects, and no cycles.
    gc.disable()
    report = simulate(
        Plan(
            options.days,
            seed,
            instruments_of_a_year(options.days, seed),
            faults_a_day=options.faults,
            has_nights=True,
            keep_events=False,
        )
    )
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
