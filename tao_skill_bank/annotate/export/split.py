"""Which side of a split a video is on: by its content, never one content on two sides."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tao_skill_bank.core.errors import InputError

NAMES = ("train", "val", "test")


def parse_split(text: str) -> dict[str, float]:
    """`80/10/10` as shares of train, val and test; fewer numbers leave the later ones out.

    Raises:
        InputError: Not one to three percentages that make 100, or none for training.
    """
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    good = 1 <= len(shares) <= len(NAMES) and all(math.isfinite(s) and s >= 0 for s in shares)
    if not good or abs(sum(shares) - 100) > 1e-6 or not shares[0]:
        raise InputError(f"not a split: {text!r}", where="--split", fix="write percentages, such as 80/10/10 or 100")
    return {name: share / 100 for name, share in zip(NAMES, shares, strict=False) if share}


def joined(content: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, str]:
    """Content digest → the digest that stands for its group.

    Args:
        content: Video → digest of its file.
        fields: Video → the value by which videos belong together; videos without one stand by themselves.
    """
    parent: dict[str, str] = {digest: digest for digest in content.values()}

    def root(digest: str) -> str:
        while parent[digest] != digest:
            parent[digest] = parent[parent[digest]]
            digest = parent[digest]
        return digest

    by_value: dict[str, list[str]] = defaultdict(list)
    for video, digest in content.items():
        if video in fields:
            by_value[fields[video]].append(digest)
    for digests in by_value.values():
        for digest in digests[1:]:
            low, high = sorted((root(digests[0]), root(digest)))
            parent[high] = low
    return {digest: root(digest) for digest in parent}


def split_of(
    groups: Mapping[str, str], shares: Mapping[str, float], seed: int, keep: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Content digest → split.

    Groups come in the order of sha256("seed:digest"); each split gets its share of them by largest remainder, and at
    least one where there are enough.

    Args:
        groups: Content digest → its group.
        shares: Split → share, in order.
        seed: Of the order.
        keep: Content digest → split of an earlier export; those stay where they are.

    Raises:
        InputError: A group holds contents that stood on two sides, or on one that this split does not have.
    """
    keep = keep or {}
    fixed: dict[str, str] = {}
    for digest, group in groups.items():
        side = keep.get(digest)
        if side is None:
            continue
        if side not in shares:
            what = f"the earlier export has a split {side!r}"
            raise InputError(what, where="--keep-split", fix="give it a share in --split")
        if fixed.setdefault(group, side) != side:
            raise InputError(
                f"videos that belong together stood in {fixed[group]} and in {side}",
                where="--keep-split",
                fix="leave --group-field or --keep-split away",
            )
    order = sorted(set(groups.values()), key=lambda digest: hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest())
    wanted = _sizes(len(order), shares)
    for side in fixed.values():
        wanted[side] -= 1
    sides = dict(fixed)
    free = iter([name for name in wanted for _ in range(max(0, wanted[name]))])
    largest = max(shares, key=lambda name: shares[name])
    for group in order:
        if group not in sides:
            sides[group] = next(free, largest)
    return {digest: sides[group] for digest, group in groups.items()}


def _sizes(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many groups each split gets: largest remainder, then at least one each, taken from the largest."""
    exact = {name: total * share for name, share in shares.items()}
    sizes = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    names: Sequence[str] = list(shares)
    by_rest = sorted(names, key=lambda name: (-(exact[name] - sizes[name]), names.index(name)))
    for name in by_rest[: total - sum(sizes.values())]:
        sizes[name] += 1
    for name in names:
        largest = max(names, key=lambda n: (sizes[n], -names.index(n)))
        if not sizes[name] and sizes[largest] > 1:
            sizes[name] += 1
            sizes[largest] -= 1
    return sizes
