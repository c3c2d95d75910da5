"""What file names may say and nobody has said: which pictures are of one board, which of one part."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tao_skill_bank.data.changenet.layout_find import Sample

_BOARD_PATTERNS = (
    r"/([^/_]+)_[^/]*$",
    r"/([^/]+)_[^/_]*$",
    r"/([^/-]+)-[^/]*$",
    r"/([^/]+)-[^/-]*$",
    r"/([A-Za-z]+[0-9]+)[A-Za-z][^/]*$",
)
_FEWEST_BOARDS, _FEWEST_PARTS = 3, 3
_LIGHT_WORDS = re.compile(
    r"light|lamp|led|white|solder|uniform|angle|coax|ring|dome|bright|dark|red|green|blue|amber|infra|^ir$|^uv$|"
    r"^(low|high|mid|side|top|left|right|front|back|rgb|gray|grey|nir)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Proposal:
    """A pattern that may find boards in file names.

    Attributes:
        pattern: For `--board`.
        boards: How many it finds; `smallest` and `largest` are pictures of one.
        torn: How many stand in several sets, as they were drawn without it.
    """

    pattern: str
    boards: int
    smallest: int
    largest: int
    example: str
    torn: int

    def quoted(self) -> str:
        """The pattern as a shell takes it."""
        return f"'{self.pattern}'"


def propose_board(sets: Mapping[str, Sequence[Sample]]) -> Proposal | None:
    """As `propose`, for parts that were laid out."""
    return propose([(name, f"{part.folder}/{part.name}") for name, parts in sets.items() for part in parts])


def propose(paths: Sequence[tuple[str, str]]) -> Proposal | None:
    """The finest of some usual patterns by which names share their beginnings with others; None where none does.

    Args:
        paths: (set, folder and name of a part) of every part.
    """
    found = [proposal for pattern in _BOARD_PATTERNS if (proposal := _tried(pattern, paths)) is not None]
    return max(found, key=lambda proposal: proposal.boards, default=None)


def _tried(pattern: str, paths: Sequence[tuple[str, str]]) -> Proposal | None:
    """What a pattern finds, where it finds a board in every name, and boards of several parts."""
    where: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for name, path in paths:
        met = re.search(pattern, path)
        if met is None:
            return None
        counts[met[1]] += 1
        where[met[1]].add(name)
    sizes = counts.values()
    if not _FEWEST_BOARDS <= len(counts) <= len(paths) / 2 or max(sizes) > len(paths) / 2:
        return None
    torn = sum(len(names) > 1 for names in where.values())
    return Proposal(pattern, len(counts), min(sizes), max(sizes), min(counts), torn)


def lighting_hint(samples: Sequence[Sample]) -> str | None:
    """What to say where names look like one part under several lightings, and no lightings were named."""
    endings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in samples:
        stem, _, ending = sample.name.rpartition("_")
        endings[sample.folder, stem].add(ending)
    common, parts = Counter(frozenset(found) for found in endings.values()).most_common(1)[0]
    if len(common) < 2 or parts < max(_FEWEST_PARTS, 0.6 * len(endings)):
        return None
    if not all(_LIGHT_WORDS.search(ending) for ending in common):
        return None
    named = ",".join(sorted(common))
    return (
        f"{parts} times {len(common)} pictures have one name but for {', '.join(sorted(common))}. If these are "
        f"lightings of one part, lay out anew with --lightings {named}: now each is a part of its own"
    )
