"""`tmm nearest_neighbors …`: parse, call the engine, print."""

from __future__ import annotations

import sys
from typing import Any

from tao_skill_bank.actions.console import Action, configured, run_category


def main() -> None:
    """The console command."""
    sys.exit(run_category("tmm", ACTIONS))


def _nearest_neighbors(args: list[str]) -> int:
    from tao_skill_bank.actions.mining.config import NEAREST_NEIGHBORS_SCHEMA, NearestNeighborsConfig

    config = configured("tmm", args, NEAREST_NEIGHBORS_SCHEMA, NearestNeighborsConfig)
    if config is None:
        return 0
    from tao_skill_bank.actions.mining.neighbors import nearest_neighbors

    arguments: dict[str, Any] = config.arguments()
    mined = nearest_neighbors(**arguments)
    for note in mined.notes:
        print(f"tmm: warning: {note}", file=sys.stderr)
    print("\n".join(mined.summary))
    return 0


ACTIONS = {
    "nearest_neighbors": Action(
        "The images of a pool (source) that look most like the given ones (target); exact.",
        """[-e SPEC.yaml] [--cfg=job] key=value …

keys:
  source_parquet            the pool: filepath, embedding (required)
  target_parquet            the images to find look-alikes of (required)
  output_parquet            filepath, similarity (cosine) or distance, target; mining_summary.txt beside it (required)
  topn                      neighbours a target [5]
  knn_metric                euclidean, cosine, manhattan [euclidean]
  source_embed_column_name  column of the source's vectors [embedding]
  target_embed_column_name  column of the target's vectors [embedding]
  filter_by_label           false; after (or true): drop neighbours of another label once found;
                            within: search among images of the target's own label [false]
  distance_threshold        drop pairs farther apart; cosine distance is 1 - cosine; negative: keep all [-1.0]
  group_by                  columns that must be equal for a pair, such as lighting (not a key of TAO's own command)""",
        _nearest_neighbors,
    )
}
