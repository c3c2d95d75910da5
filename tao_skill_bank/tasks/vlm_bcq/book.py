"""The questions of a workspace by name, for what people say of them: `video/id`, or the id alone."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.text import lines_of
from tao_skill_bank.data.bcq.records import read_set
from tao_skill_bank.data.changenet.sample_book import set_named
from tao_skill_bank.data.corrections import ANNOTATION, Known, Sample
from tao_skill_bank.tasks.vlm_bcq.labels import CALLED, WORDS, answer_of, looked_at

_MOST_NAMES = 5000


def holds_records(workspace: Path) -> bool:
    """Whether a folder is a workspace of this task."""
    return any(guard.is_file(workspace / name / "annotations.json") for name in CALLED)


class RecordBook:
    """Every question of a workspace, and what teachers answered in its runs."""

    label_advice = "write Yes or No"

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    @cached_property
    def _known(self) -> dict[str, list[Known]]:
        found: dict[str, list[Known]] = {}
        for name, called in CALLED.items():
            path = self._workspace / name / "annotations.json"
            if not guard.is_file(path):
                continue
            held = read_set(name, path, self._workspace, strict=name != "pool", measured=name in ("kpi", "acceptance"))
            for r in held.records:
                sample = Sample(set=called, input_path=r.video, object_name=r.id)
                found.setdefault(called, []).append(Known(sample, answer_of(r), looked_at(r)))
        for path in sorted(self._workspace.glob("results/*/iter*/annotate/annotated.jsonl")):
            for line in lines_of(guard.read_text(path)):
                row = json.loads(line)
                if row.get("record"):
                    sample = Sample(set=ANNOTATION, input_path=row["record"]["video"], object_name=row["digest"])
                    found.setdefault(ANNOTATION, []).append(Known(sample, row["answer"].capitalize(), row["digest"]))
        return found

    def find(self, name: str, set_name: str | None = None) -> Known:
        """As `corrections.Book`."""
        wanted = set_name if set_name in (None, ANNOTATION) else set_named(set_name)
        looked = list(self._known) if wanted is None else [wanted]
        every = [known for one in looked for known in self._known.get(one, [])]
        fits = {k.sample: k for k in every if name in (k.sample.name, k.sample.object_name)}
        if not fits:
            where = f"the {wanted} set" if wanted else f"the sets {', '.join(looked)}"
            near = did_you_mean(name, [k.sample.name for k in every[:_MOST_NAMES]])
            raise InputError(f"no such question in {where}", where=name, fix=near)
        if len(fits) > 1:
            sets = " and ".join(sorted({sample.set for sample in fits}))
            raise InputError(f"stands in the sets {sets}", where=name, fix="name the set")
        return next(iter(fits.values()))

    def label_fault(self, label: str) -> str | None:
        """As `corrections.Book`."""
        return None if label in WORDS else f"is {label!r}, and answers no question"
