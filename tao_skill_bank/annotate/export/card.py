"""The card of an export: what is in it, where it comes from, how it was checked, how it is loaded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tao_skill_bank.annotate.export.items import Options, Record
from tao_skill_bank.annotate.export.layouts import HF_SPLITS
from tao_skill_bank.core.text import clean

UNSPECIFIED = "unspecified"


@dataclass(frozen=True)
class Facts:
    """What the card and `export.json` say.

    Attributes:
        error_rate: Lines of a measured error rate; empty where none was measured.
    """

    options: Options
    name: str
    license: str
    models: Sequence[str]
    splits: Mapping[str, Sequence[Record]]
    refused: Mapping[str, int]
    flagged: Mapping[str, int]
    dropped: Mapping[str, int]
    checks: Sequence[str] = ()
    error_rate: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Split → task → records."""
        return {name: dict(sorted(Counter(r.task for r in rs).items())) for name, rs in self.splits.items()}

    @property
    def videos(self) -> dict[str, int]:
        """Split → videos."""
        return {name: len({record.video for record in records}) for name, records in self.splits.items()}


def card(facts: Facts) -> str:
    """`README.md`, for Hugging Face with the head that `load_dataset` reads."""
    asked, counts = facts.options, facts.counts
    head = _head(facts) if asked.layout == "hf" else ""
    tasks = sorted({task for of_split in counts.values() for task in of_split})
    table = ["| split | videos | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 2) + "|"]
    for name, of_split in counts.items():
        table.append(f"| {name} | {facts.videos[name]} | " + " | ".join(str(of_split.get(t, 0)) for t in tasks) + " |")
    lines = [
        f"# {facts.name}",
        "",
        "Questions with answers on videos, written by models and checked by rules.",
        "",
        *table,
        "",
        f"- Licence: {facts.license}",
        f"- Models whose answers the items were made from: {', '.join(facts.models) or 'unknown'}",
        f"- Answers: {asked.answers}; videos: {asked.media}",
        f"- Split {asked.split} by the content of the videos (seed {asked.seed}): no video is on two sides",
        f"- Refused by the checks and not in here: {_counted(facts.refused)}",
        f"- Flagged and kept: {_counted(facts.flagged)}",
        f"- Left out for balance: {_counted(facts.dropped)}",
        f"- Checks by models: {', '.join(facts.checks) or 'none'}",
        *([f"- Error rate: {line}" for line in facts.error_rate] or ["- Error rate: not measured"]),
        *(f"- Note: {warning}" for warning in facts.warnings),
        "",
        "## Load it",
        "",
        *_LOAD[asked.layout],
        "",
        "`provenance.jsonl` has a line a record: the video, its SHA-256, the models, the date, the licence. "
        "`export.json` has the options and the split of every video.",
        "",
    ]
    return head + clean("\n".join(lines))


_LOAD = {
    "tao": [
        "`nvidia-tao-daft` validates each split's folder. Its data set for Cosmos-RL takes the folder of the file "
        "as media root: give it `media_roots=` where videos are referred to and lie elsewhere."
    ],
    "llava": [
        "TAO Cosmos-RL and Cosmos-Reason1 SFT: `annotation_path=SPLIT/annotations.json`, `media_path=SPLIT`. The "
        "fine-tuning code of Qwen-VL takes the same two."
    ],
    "sharegpt": ["LLaMA-Factory: `dataset_dir: THIS_FOLDER`, `media_dir: THIS_FOLDER`, `dataset: NAME_train`."],
    "swift": ["ms-swift: `swift sft --dataset train.jsonl --val_dataset val.jsonl`; paths of videos are absolute."],
    "hf": ['`datasets.load_dataset("THIS_FOLDER")`, without a network.'],
    "webdataset": ['`webdataset.WebDataset("train-000000.tar")`: a sample a video, its items in `json`.'],
}


def _head(facts: Facts) -> str:
    suffix = "parquet" if facts.options.parquet else "jsonl"
    license_name = "other" if facts.license == UNSPECIFIED else facts.license
    lines = ["---", f"license: {json.dumps(license_name, ensure_ascii=False)}", "configs:", "- config_name: default"]
    lines.append("  data_files:")
    for name in facts.splits:
        lines += [f"  - split: {HF_SPLITS[name]}", f"    path: data/{HF_SPLITS[name]}.{suffix}"]
    lines += ["dataset_info:", "  features:"]
    for name in ("id", "task", "video_id"):
        lines += [f"  - name: {name}", "    dtype: string"]
    lines += ["  - name: messages", "    list:", "    - name: role", "      dtype: string"]
    lines += ["    - name: content", "      dtype: string", "  - name: videos", "    sequence: string", "---", "", ""]
    return "\n".join(lines)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items()) if n) or "none"
