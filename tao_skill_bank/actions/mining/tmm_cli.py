"""`tmm nearest_neighbors …`: parse, call the engine, print."""

from __future__ import annotations

import sys
from dataclasses import asdict

from tao_skill_bank.actions.console import Action, configured, run_category
from tao_skill_bank.actions.mining.config import NEAREST_NEIGHBORS_SCHEMA, NearestNeighborsConfig
from tao_skill_bank.core.asked import keys_text


def main() -> None:
    """The console command."""
    sys.exit(run_category("tmm", ACTIONS))


def _nearest_neighbors(args: list[str]) -> int:
    config = configured("tmm", args, NEAREST_NEIGHBORS_SCHEMA, NearestNeighborsConfig)
    if config is None:
        return 0
    from tao_skill_bank.actions.mining.neighbors import nearest_neighbors

    mined = nearest_neighbors(**asdict(config))
    for note in mined.notes:
        print(f"tmm: warning: {note}", file=sys.stderr)
    print("\n".join(mined.summary))
    return 0


ACTIONS = {
    "nearest_neighbors": Action(
        "The images of a pool (source) that look most like the given ones (target); exact.",
        f"[-e SPEC.yaml] [--cfg=job] key=value …\n\n{keys_text(NearestNeighborsConfig)}",
        _nearest_neighbors,
    )
}
