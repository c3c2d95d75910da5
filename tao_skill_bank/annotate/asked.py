"""What somebody asks of an annotation: the models of which commands, tools and help are made."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tao_skill_bank.core.asked import Said
from tao_skill_bank.core.errors import InputError


def _prices(value: Any) -> Any:
    """Model → its two prices; a command line names each as `MODEL=INPUT,OUTPUT`."""
    from tao_skill_bank.annotate.prices import price_named

    return value if isinstance(value, Mapping) else dict(price_named(text) for text in value or ())


def _shard(value: Any) -> Any:
    from tao_skill_bank.annotate.listing import parse_shard

    return None if value is None else parse_shard(value if isinstance(value, str) else "/".join(map(str, value)))


@dataclass(frozen=True)
class Estimating:
    """What an annotation is to be: the arguments of `auto_label generate`, and what only the bank's doors have."""

    spec: Annotated[Path | None, Said("The spec; `auto_label default_specs` writes one.", short="-e", tool="")] = None
    results_dir: Annotated[Path | None, Said("Where the run lives; the same folder takes it up again.", tool="")] = None
    video_root: Annotated[Path | None, Said("Folder of videos.", tool=False)] = None
    prices: Annotated[Path | None, Said("Your own price table (YAML), before the shipped one.", tool=False)] = None
    price: Annotated[
        Mapping[str, Sequence[float]],
        Said(
            "A model's USD per million tokens.",
            metavar="MODEL=IN,OUT",
            tool="Model: [input, output], USD per million tokens.",
        ),
    ] = field(default_factory=dict)
    shard: Annotated[
        tuple[int, int] | None,
        Said("Take only this part of the videos, in a folder of its own.", metavar="I/N", tool=False),
    ] = None
    batch: Annotated[bool, Said("Use the vendors' batches: half the price, up to a day for a round.", tool=False)] = (
        False
    )
    overrides: Annotated[Sequence[str], Said("Keys of the spec.", flag="", metavar="[KEY=VALUE]...", tool=False)] = ()

    def __post_init__(self) -> None:
        """What a command line writes as a text becomes what it stands for."""
        prices = None if self.prices is None else Path(os.path.abspath(self.prices))
        read = {"prices": prices, "price": _prices(self.price), "shard": _shard(self.shard)}
        read["overrides"] = tuple(self.overrides)
        for name, value in read.items():
            object.__setattr__(self, name, value)

    @property
    def arguments(self) -> list[str]:
        """The arguments of `auto_label generate`."""
        from tao_skill_bank.annotate.config import SECTION

        words = ["-e", str(self.spec)] if self.spec else []
        words += [f"results_dir={_quoted(self.results_dir)}"] if self.results_dir else []
        words += [f"{SECTION}.data.video_root={_quoted(self.video_root)}"] if self.video_root else []
        return [*words, *self.overrides]


@dataclass(frozen=True)
class Request(Estimating):
    """An annotation to be run, within limits."""

    max_calls: Annotated[int | None, Said("Stop before this many calls in all, earlier runs included.", tool="")] = None
    max_cost: Annotated[
        float | None, Said("Stop before this many USD in all, earlier runs included.", tool="USD in all.")
    ] = None

    def __post_init__(self) -> None:
        """As of what is estimated; limits can be reached."""
        super().__post_init__()
        for limit, kind in ((self.max_calls, int), (self.max_cost, int | float)):
            # Nothing is larger than NaN: such a limit would never be reached.
            if limit is not None and not (isinstance(limit, kind) and 0 <= limit < math.inf):
                raise InputError("a limit is a number from 0 on", where="--max-calls, --max-cost", fix="give 0 or more")


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
