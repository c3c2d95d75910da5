"""How far two raters agree beyond chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of two raters' labels of the same items.

    Args:
        first: Labels, [n].
        second: Labels of the same items, [n].

    Returns:
        1 where they always agree, 0 where no more than by chance; None without items, and where both gave one label
        alone, so that nothing can be told from chance.
    """
    number = len(first)
    if number != len(second):
        raise ValueError("labels of other items")
    if not number:
        return None
    agree = sum(a == b for a, b in zip(first, second, strict=True)) / number
    ours, theirs = Counter(first), Counter(second)
    chance = sum(ours[label] * theirs[label] for label in ours) / number**2
    return None if chance >= 1.0 else (agree - chance) / (1.0 - chance)
