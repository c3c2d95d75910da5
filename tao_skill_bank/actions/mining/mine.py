"""Mining in one step: embed weak images and a pool with one encoder, and keep the pool's nearest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    from tao_skill_bank.actions.mining.neighbors import Mined


def mine_images(
    gaps: Path, pool: Path, output: Path, *, top_k: int, min_similarity: float, encoder: str, same_label: str
) -> Mined:
    """Write `mined.parquet`, the embeddings of both sides and `mining_summary.txt` into a folder.

    Arguments as of `tao.mine`.

    Raises:
        InputError: Tables that cannot be used, an encoder that is not there.
    """
    from tao_skill_bank.actions.mining.embedding import embed_parquet
    from tao_skill_bank.actions.mining.encoders import get_encoder
    from tao_skill_bank.actions.mining.neighbors import nearest_neighbors

    check_mining(gaps, min_similarity)
    chosen = get_encoder(encoder)
    targets = embed_parquet(gaps, output / "target_embeddings.parquet", chosen)
    sources = embed_parquet(pool, output / "source_embeddings.parquet", chosen)
    return nearest_neighbors(
        sources.output,
        targets.output,
        output / "mined.parquet",
        topn=top_k,
        knn_metric="cosine",
        filter_by_label=same_label,
        distance_threshold=1.0 - min_similarity,
    )


def check_mining(gaps: Path, min_similarity: float) -> None:
    """Refuse a similarity that is none, and gaps with nothing to mine for.

    Raises:
        InputError: Either, or no such file, or one that holds no gaps.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not 0 <= min_similarity <= 1:
        raise InputError(f"--min-similarity {min_similarity} lies outside 0..1", fix="give for example 0.9")
    try:
        table = pq.read_table(gaps)
    except FileNotFoundError:
        raise InputError("no such file", where=gaps, fix="name a kpi_gaps.parquet") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"is no parquet file: {reason}", where=gaps, fix="name a kpi_gaps.parquet") from None
    for column in ("filepath", "label"):
        if column not in table.column_names:
            raise InputError(f"no column {column!r}", where=gaps, fix="name a kpi_gaps.parquet")
    if table.num_rows == 0:
        raise InputError("holds no weak sample", where=gaps, fix="there is nothing to mine for")
