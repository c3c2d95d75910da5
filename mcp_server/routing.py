"""The tool of routing."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from mcp_server.door import REWRITE, add, fitting
from mcp_server.roots import Allowed

MOST_VERDICTS, MOST_DROPPED = 900, 500
"""Characters; the whole table is in Routing_Report.md."""


class RoutingResult(BaseModel):
    """How many rows go where, and each label's verdict. `dropped` labels have no taker."""

    mining_rows: int
    anomalygen_rows: int
    verdicts: dict[str, str]
    dropped: list[str]
    results_dir: str


def route_samples(
    gaps_parquet: Annotated[str, Field(description="kpi_gaps.parquet.")],
    results_dir: Annotated[str, Field(description="Where the routed files go.")],
    allowed: Allowed,
    pool_csv: Annotated[str | None, Field(description="The mining pool's CSV.")] = None,
    generator_labels: Annotated[list[str] | None, Field(description="Labels a generator can make.")] = None,
    accept_dropped: Annotated[list[str] | None, Field(description="Labels that may go without.")] = None,
) -> RoutingResult:
    """Decide for each weak label: new data from the pool, from a generator, from both, or from nobody."""
    from tao_skill_bank.tasks.changenet.routing import route_gaps

    found = route_gaps(
        allowed.path(gaps_parquet, "gaps_parquet"),
        allowed.path(results_dir, "results_dir"),
        pool_csv=allowed.optional(pool_csv, "pool_csv"),
        generator_labels=generator_labels or [],
        accept_dropped=accept_dropped or [],
    )
    return RoutingResult(
        mining_rows=len(found.mining),
        anomalygen_rows=len(found.anomalygen),
        verdicts=fitting(found.verdicts, MOST_VERDICTS),
        dropped=list(fitting(dict.fromkeys(found.dropped, ""), MOST_DROPPED)),
        results_dir=results_dir,
    )


def register(server: MCPServer[Any]) -> None:
    """Add the tool of routing."""
    add(server, route_samples, REWRITE)
