"""What somebody asks of an annotation: the models of which commands, tools and help are made."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from tao_skill_bank.core.asked import Said
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.models import Frozen


def _prices(value: Any) -> Any:
    """Model → its two prices; a command line names each as `MODEL=INPUT,OUTPUT`."""
    from tao_skill_bank.annotate.prices import price_named

    return value if isinstance(value, Mapping) else dict(price_named(text) for text in value or ())


def _shard(value: Any) -> Any:
    from tao_skill_bank.annotate.listing import parse_shard

    return None if value is None else parse_shard(value if isinstance(value, str) else "/".join(map(str, value)))


def _limit(value: Any) -> Any:
    # Nothing is larger than NaN: such a limit would never be reached.
    if value is not None and not 0 <= value < math.inf:
        raise InputError("a limit is a number from 0 on", where="--max-calls, --max-cost", fix="give 0 or more")
    return value


class Estimating(Frozen):
    """What an annotation is to be: the arguments of `auto_label generate`, and what only the bank's doors have."""

    spec: Annotated[Path | None, Said("The spec; `auto_label default_specs` writes one.", short="-e", tool="")] = None
    results_dir: Annotated[Path | None, Said("Where the run lives; the same folder takes it up again.", tool="")] = None
    video_root: Annotated[Path | None, Said("Folder of videos.", tool=False)] = None
    prices: Annotated[
        Path | None,
        BeforeValidator(lambda path: None if path is None else os.path.abspath(path)),
        Said("Your own price table (YAML), before the shipped one.", tool=False),
    ] = None
    price: Annotated[
        Mapping[str, Sequence[float]],
        BeforeValidator(_prices),
        Said(
            "A model's USD per million tokens.",
            metavar="MODEL=IN,OUT",
            tool="Model: [input, output], USD per million tokens.",
        ),
    ] = {}
    shard: Annotated[
        tuple[int, int] | None,
        BeforeValidator(_shard),
        Said("Take only this part of the videos, in a folder of its own.", metavar="I/N", tool=False),
    ] = None
    batch: Annotated[bool, Said("Use the vendors' batches: half the price, up to a day for a round.", tool=False)] = (
        False
    )
    overrides: Annotated[Sequence[str], Said("Keys of the spec.", flag="", metavar="[KEY=VALUE]...", tool=False)] = ()

    @property
    def arguments(self) -> list[str]:
        """The arguments of `auto_label generate`."""
        from tao_skill_bank.annotate.config import SECTION

        words = ["-e", str(self.spec)] if self.spec else []
        words += [f"results_dir={_quoted(self.results_dir)}"] if self.results_dir else []
        words += [f"{SECTION}.data.video_root={_quoted(self.video_root)}"] if self.video_root else []
        return [*words, *self.overrides]


class Request(Estimating):
    """An annotation to be run, within limits."""

    max_calls: Annotated[
        int | None, AfterValidator(_limit), Said("Stop before this many calls in all, earlier runs included.", tool="")
    ] = None
    max_cost: Annotated[
        float | None,
        AfterValidator(_limit),
        Said("Stop before this many USD in all, earlier runs included.", tool="USD in all."),
    ] = None


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
