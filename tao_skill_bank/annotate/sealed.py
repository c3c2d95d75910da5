"""A request with nothing left open: what a person is shown, approves and starts is this one object.

It holds the resolved configuration, the prices, the limits, the digest of the prompts module, the videos with what
each is known by, and the digests of the step files that are built upon. Whoever starts it reads no spec, table or list
again: a worker gets the object itself. Keys are no part of it; they go to the worker in its environment.
"""

from __future__ import annotations

import json
import os
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from tao_skill_bank.annotate.allow import find
from tao_skill_bank.annotate.config import SECTION, AnnotationConfig, read_config
from tao_skill_bank.annotate.listing import Listing, StandingRows, in_shard
from tao_skill_bank.annotate.prices import Prices
from tao_skill_bank.annotate.prompts import is_own
from tao_skill_bank.annotate.scope import Limits, effective_steps, videos_of
from tao_skill_bank.annotate.shards import shard_config
from tao_skill_bank.core.errors import InputError, NeedsApprovalError
from tao_skill_bank.core.extras import pyav
from tao_skill_bank.core.fsio import sha256_text
from tao_skill_bank.core.seal import Identity, digest_of, identities

VERSION = 1
STARTED_BY = "started_by"
"""Under what a journal keeps how its last run came to be started."""
_DIGITS = 32


def refuse_unpriced(config: AnnotationConfig, prices: Prices) -> None:
    """Refuse a limit of cost where the price of a model is not known.

    Raises:
        InputError: It cannot be kept.
    """
    models = config.named_models
    if not effective_steps(config) - {"4"}:
        # The last step writes files: it asks nobody but a judge.
        models = {name: options for name, options in models.items() if name == "judge"}
    for name, options in models.items():
        if prices.of(options.model) is None:
            raise InputError(
                f"the price of {options.model!r} ({name}) is unknown, so --max-cost cannot be kept",
                where="--max-cost",
                fix=f"give it: --price {options.model}=INPUT,OUTPUT in USD per million tokens; or use --max-calls",
            )


@dataclass(frozen=True)
class Sealed:
    """What is to be done, as it was resolved.

    Attributes:
        config: The configuration; its keys are in no file and no digest.
        prices: What tokens of the two models cost.
        limits: Hard stops, and the shard.
        batch: Whether calls go in the vendors' batches.
        listing: The videos, in order, with what each is known by.
        rows: Step → SHA-256 of its file, which the run builds upon.
        module: SHA-256 of the prompts module where it is not the bank's own, else empty.
        how: How it came to be started: command, flag or elicitation.
    """

    config: AnnotationConfig
    prices: Prices
    limits: Limits
    batch: bool
    listing: Listing
    rows: dict[str, str]
    module: str
    how: str = "command"

    @cached_property
    def digest(self) -> str:
        """By what it is approved; the same wherever it is looked at from, and whoever looks."""
        fixed = self.absolute()
        known = fixed.listing.known
        videos = "".join(f"{path}\0{_plain(known.get(path))}\n" for path in fixed.listing.videos)
        value = fixed._facts() | {"videos": sha256_text(videos), "number": len(fixed.listing.videos)}
        return digest_of(value)[:_DIGITS]

    def approved(self, digest: str | None, how: str) -> Sealed:
        """The same as it is started.

        Raises:
            NeedsApprovalError: Something else was approved.
        """
        if digest not in (None, self.digest):
            raise NeedsApprovalError(
                "what was approved is not what would start now: the spec, a video, a price or a limit is another one",
                digest=self.digest,
                fix=f"look at the estimate again, then use --approve {self.digest}",
            )
        return replace(self, how=how)

    def absolute(self) -> Sealed:
        """The same for a process that works in another folder."""
        data = self.config.data
        root = os.path.abspath(os.path.expanduser(data.video_root)) if data.video_root else ""
        files = tuple(os.path.abspath(os.path.expanduser(name)) for name in data.input_jsonl_files)
        config = self.config.model_copy(
            update={"data": data.model_copy(update={"video_root": root, "input_jsonl_files": files})}
        )
        if self.module:
            config = config.model_copy(update={"prompts_module": str(find(config.prompts_module).path)})
        names = {path: os.path.abspath(path) for path in self.listing.videos}
        listing = Listing(
            list(names.values()),
            self.listing.problems,
            {names[path]: seen for path, seen in self.listing.known.items()},
        )
        return replace(self, config=config, listing=listing)

    def part(self, index: int, count: int, limits: Limits) -> Sealed:
        """What one shard does, in a folder of its own."""
        videos = [video for video in self.listing.videos if in_shard(video, index, count)]
        known = {video: self.listing.known[video] for video in videos}
        config = shard_config(self.config, index, count)
        rows = _rows(config)
        listing = Listing(videos, self.listing.problems, known)
        return replace(self, config=config, limits=replace(limits, shard=(index, count)), listing=listing, rows=rows)

    def dumps(self) -> bytes:
        """For the process that does it; without keys."""
        fixed = self.absolute()
        videos = [[path, _plain(fixed.listing.known.get(path))] for path in fixed.listing.videos]
        value = fixed._facts() | {
            "digest": self.digest,
            "how": self.how,
            "prices_dated": self.prices.dated,
            "problems": self.listing.problems,
            "videos": videos,
        }
        return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")

    @classmethod
    def loads(cls, data: bytes) -> Sealed:
        """What `dumps` wrote.

        Raises:
            InputError: It is something else, or was changed.
        """
        try:
            value = json.loads(data.decode("utf-8", "surrogatepass"))
            if value["version"] != VERSION:
                raise ValueError(f"version {value['version']}")
            section = value["config"]
            spec = {"autolabel_type": SECTION, "results_dir": section.pop("results_dir"), SECTION: section}
            shard = value["limits"].pop("shard")
            found = cls(
                config=read_config(spec, "sealed request"),
                prices=Prices.plain_of(value["prices"], value["prices_dated"]),
                limits=Limits(**value["limits"], shard=None if shard is None else (shard[0], shard[1])),
                batch=value["batch"],
                listing=Listing(
                    [path for path, _ in value["videos"]],
                    value["problems"],
                    {path: None if seen is None else Identity(*seen) for path, seen in value["videos"]},
                ),
                rows=value["rows"],
                module=value["module"],
                how=value["how"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _another(f"cannot be read ({error})") from None
        if found.digest != value["digest"]:
            raise _another("is not what its digest says")
        return found

    def _facts(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "config": self.config.public(),
            "prices": self.prices.plain(tuple(o.model for o in self.config.named_models.values())),
            "addresses": [options.address for options in self.config.named_models.values()],
            "limits": asdict(self.limits),
            "batch": self.batch,
            "rows": self.rows,
            "module": self.module,
        }


def seal(
    config: AnnotationConfig,
    prices: Prices,
    limits: Limits | None = None,
    *,
    batch: bool = False,
    standing: StandingRows | None = None,
) -> Sealed:
    """Resolve what is left open: list the videos, look at each, digest the files that are built upon.

    `standing`: the rows that are there, if somebody has read them already.

    Raises:
        InputError: No videos, a file that cannot be read, or PyAV is missing: nothing has been written yet.
    """
    limits = limits or Limits()
    steps = effective_steps(config)
    if steps - {"4"} or set(config.quality.checks) - {"blind"}:
        pyav()
    with closing(StandingRows(config.results_dir)) if standing is None else nullcontext(standing) as rows:
        listing = videos_of(config, steps, rows, limits) if steps - {"4"} or config.quality.checks else Listing()
        digests = dict(rows.digests)
    listing.known = dict(zip(listing.videos, identities(listing.videos), strict=True))
    module = "" if is_own(config.prompts_module) else find(config.prompts_module).sha256
    return Sealed(config, prices, limits, batch, listing, digests, module)


def _rows(config: AnnotationConfig) -> dict[str, str]:
    with closing(StandingRows(config.results_dir)) as standing:
        return dict(standing.digests)


def _plain(seen: Identity | None) -> list[Any] | None:
    return None if seen is None else [seen.size, seen.mtime_ns, seen.head]


def _another(what: str) -> InputError:
    return InputError(f"the sealed request {what}", fix="start the run again")
