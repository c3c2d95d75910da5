"""`embedding image_embeddings …`: parse, call the engine, print."""

from __future__ import annotations

import sys

from tao_skill_bank.actions.console import Action, configured, run_category
from tao_skill_bank.actions.mining.config import IMAGE_EMBEDDINGS_SCHEMA, ImageEmbeddingsConfig
from tao_skill_bank.core.asked import keys_text


def main() -> None:
    """The console command."""
    sys.exit(run_category("embedding", ACTIONS))


def _image_embeddings(args: list[str]) -> int:
    config = configured("embedding", args, IMAGE_EMBEDDINGS_SCHEMA, ImageEmbeddingsConfig)
    if config is None:
        return 0
    from tao_skill_bank.actions.mining.embedding import embed_parquet

    def progress(rows: int, total: int) -> None:
        print(f"{rows} of {total} images embedded", flush=True)

    done = embed_parquet(config.input_parquet, config.output_parquet, config.encoder(), progress)
    print(f"{done.rows} images embedded with {done.encoder}, {done.dim} numbers each: {done.output}")
    return 0


ACTIONS = {
    "image_embeddings": Action(
        "A vector for every image that a parquet file lists.",
        f"""[-e SPEC.yaml] [--cfg=job] key=value …

{keys_text(ImageEmbeddingsConfig)}

Vectors have length 1. The file names its encoder, and `tmm` refuses to compare different ones.""",
        _image_embeddings,
    )
}
