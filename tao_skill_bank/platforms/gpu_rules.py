"""Which batch size a GPU's memory allows for a Visual ChangeNet, before anything is submitted."""

from __future__ import annotations

import re
from typing import Final

from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import get

_LIMITS: Final = ((48, 16), (24, 8))
"""GB of one GPU's memory, the largest batch that was seen to train in it."""

# Gigabytes by the names that schedulers and drivers give; the first that a name holds counts.
_MEMORY: Final = (
    ("a100-80", 80),
    ("a100_80", 80),
    ("h200", 141),
    ("b200", 180),
    ("h100", 80),
    ("a100", 40),
    ("rtx6000", 48),
    ("l40", 48),
    ("a6000", 48),
    ("a40", 48),
    ("v100-32", 32),
    ("v100", 16),
    ("4090", 24),
    ("3090", 24),
    ("a5000", 24),
    ("a10", 24),
    ("l4", 24),
    ("t4", 16),
)


def memory_of(name: str) -> int | None:
    """Gigabytes of a GPU by its name (`nvidia_a100-sxm4-80gb`, `l40s`), None where the name does not tell."""
    plain = name.lower().replace(" ", "").replace("nvidia_", "")
    for size in (80, 141, 48, 40, 32, 24, 16):
        if f"{size}gb" in plain:
            return size
    # A10 is not A1000, nor A40 A4000.
    return next((size for mark, size in _MEMORY if re.search(rf"{mark}(?!\d)", plain)), None)


def largest_batch(memory_gb: int) -> int:
    """The largest batch for that memory: 16 from 48 GB on, 8 from 24 GB on, below that in proportion.

    Above 48 GB nothing was measured, so nothing is refused there.
    """
    if memory_gb > _LIMITS[0][0]:
        return 1 << 30
    return next((batch for least, batch in _LIMITS if memory_gb >= least), max(2, memory_gb // 3))


def check_batch(batch_size: int, memory_gb: int, where: str) -> None:
    """Refuse a batch that does not fit.

    Raises:
        InputError: It is larger than the memory allows.
    """
    most = largest_batch(memory_gb)
    if batch_size > most:
        raise InputError(
            f"batch size {batch_size} does not fit a GPU of {memory_gb} GB: at most {most}",
            where=where,
            fix=f"--set batch_size={most}, or larger GPUs",
        )


def spec_batch_size(specs_file: str) -> int | None:
    """`dataset.classify.batch_size` of a training spec, None where it says nothing."""
    from pathlib import Path

    from tao_skill_bank.core.yamlio import read_yaml

    try:
        spec = read_yaml(Path(specs_file))
    except InputError:
        return None
    size = get(spec, "dataset.classify.batch_size")
    return size if isinstance(size, int) else None
