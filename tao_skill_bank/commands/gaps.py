"""`tao-skills gaps`: routing and mining of weak samples outside the loop, on the loop's own functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tao_skill_bank.commands.cluster import cluster_of
from tao_skill_bank.commands.options import CLUSTER, PATH, request_options
from tao_skill_bank.commands.out import echo
from tao_skill_bank.tasks.asked import MineAsked, RouteAsked


@click.group()
def cli() -> None:
    """Route weak samples and mine data like them."""


@cli.command()
@request_options(RouteAsked)
def route(**asked: Any) -> None:
    """Say for each weak label of GAPS (kpi_gaps.parquet) whether mining or a generator can give more of it.

    Status 2 where nobody takes a label that was not accepted to be dropped; the files are written all the same.
    """
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.tasks.changenet.routing import route_gaps, summary_text

    output = asked["results_dir"]
    routing = route_gaps(**asked)
    echo(summary_text(routing), nl=False)
    echo(str(output))
    if routing.dropped:
        names = ", ".join(routing.dropped)
        raise InputError(
            f"no module takes: {names}",
            where=output / "routing_summary.txt",
            fix=f"add pool rows or generator labels, or accept the loss with --accept-dropped {routing.dropped[0]}",
        )


@cli.command()
@click.argument("gaps", type=PATH)
@click.argument("pool", type=PATH, required=False)
@click.option("--pool", "annotations", type=PATH, help="For kpi_gaps.jsonl: the labelled pool's annotations.json.")
@click.option("--output", type=PATH, help="Results folder.  [default: mined beside GAPS]")
@click.option("--budget", type=int, help="For kpi_gaps.jsonl: rows at most.  [default: 2 a failed pair]")
@request_options(MineAsked)
@click.option("--shards", type=int, help="Cut the pool into this many parts, for one too large for one machine.")
@CLUSTER
def mine(
    gaps: Path,
    pool: Path | None,
    annotations: Path | None,
    output: Path | None,
    budget: int | None,
    shards: int | None,
    platform: str,
    settings: tuple[str, ...],
    **asked: Any,
) -> None:
    """Find the images of POOL (a parquet file with `filepath`) that look most like those of GAPS.

    GAPS may be the kpi_gaps.jsonl of yes/no answers: then `--pool annotations.json` names labelled pairs, of which the
    nearest are taken, Yes and No alike.

    Both are embedded with the same encoder. The last line is mined.parquet. With --shards the result is the same, bit
    for bit; a row whose image cannot be read is then listed in mining_errors.csv, and the others are mined; the same
    command again does only the shards that have no valid output.
    """
    from tao_skill_bank.actions.mining import shards as sharding
    from tao_skill_bank.actions.mining.mine import check_mining, mine_images
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.sharding.sharded import mine_sharded

    output = output or gaps.absolute().parent / "mined"
    if gaps.suffix == ".jsonl":
        from tao_skill_bank.tasks.vlm_bcq.single import mine_like

        labelled = annotations or pool
        if labelled is None:
            raise InputError("the pool is not named", where="--pool", fix="give --pool pool/annotations.json")
        table, said = mine_like(gaps, labelled, output.absolute(), top_k=asked["top_k"], budget=budget)
        echo("\n".join([*said, str(table)]))
        return
    pool = pool or annotations
    if pool is None:
        raise InputError("the pool is not named", where="POOL", fix="give a parquet file with filepath")
    check_mining(gaps, asked["min_similarity"])
    cluster = cluster_of(platform, settings, shards)
    if shards is None:
        mined = mine_images(gaps, pool, output, **asked)
        notes, said = list(mined.notes), []
    else:
        plan = sharding.make_plan(gaps, pool, shards=shards, **asked)
        mined, errors = mine_sharded(output, plan, cluster, progress=_shards_mined())
        notes, said = list(mined.notes), [f"{len(plan.shards)} shards, plan {plan.digest[:12]}"]
        notes += [f"{len(errors)} rows take no part: {output / sharding.ERRORS_FILE}"] if errors else []
    for note in notes:
        echo(f"note: {note}", err=True)
    echo("\n".join([*mined.summary, *said, str(output / "mined.parquet")]))


def _shards_mined() -> Callable[[int, int], None]:
    """Says how many shards are mined, each number once."""
    told = -1

    def progress(done: int, of: int) -> None:
        nonlocal told
        if done != told:
            told = done
            echo(f"{done} of {of} shards mined", err=True)

    return progress
