"""What the annotation tests share: a configuration that talks to the scripted endpoint, and a run of it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from scripted_endpoint import ScriptedEndpoint
from videos import make_videos

from tao_skill_bank.annotate.config import AnnotationConfig, read_config, schema
from tao_skill_bank.annotate.gate import Policy
from tao_skill_bank.annotate.prices import load_prices
from tao_skill_bank.annotate.run import Limits, Outcome, annotate
from tao_skill_bank.core.overrides import parse_command_line

CANARY = "canary-4f1d9a77c0ffee"
QUICK = Policy(base=0.01, cap=0.05, cool=0.05, cool_cap=0.2)
SECTION = "video_reasoning_annotation"

CALLS_A_VIDEO = 16
"""Of a two-second anomaly video: 2 filter, 2 captions, 1 chunk, 2 highlight, 1 description, 8 questions."""
# The stages of a video, each after the one before; the questions come last.
_STAGES = (
    ("video_filtering",),
    ("video_anomaly_classification",),
    ("global_caption", "dense_caption"),
    ("chunk_caption",),
    ("highlight_timestamp_extraction",),
    ("highlight_chunk_caption",),
    ("description",),
)


def overrides(url: str, results: Path, videos: Path | None, *more: str, backend: str = "openai") -> list[str]:
    """Arguments of a run against an endpoint."""
    args = [f"results_dir='{results}'"]
    if videos is not None:
        args.append(f"{SECTION}.data.video_root='{videos}'")
    for model in ("vlm", "llm"):
        args += [
            f"{SECTION}.{model}.backend={backend}",
            f"{SECTION}.{model}.openai.base_url='{url}/v1'",
            f"{SECTION}.{model}.openai.model_name=scripted",
        ]
    return args + [f"{SECTION}.{text}" for text in more]


def config_for(
    server: ScriptedEndpoint | str, results: Path, videos: Path | None, *more: str, backend: str = "openai"
) -> AnnotationConfig:
    """The configuration of such a run."""
    url = server if isinstance(server, str) else server.url
    return read_config(parse_command_line(overrides(url, results, videos, *more, backend=backend), schema()).config)


def run(config: AnnotationConfig, limits: Limits | None = None, policy: Policy = QUICK) -> Outcome:
    """Annotate, with short waits between tries."""
    return annotate(config, load_prices(), limits, policy=policy)


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def final_files(results: Path) -> dict[str, bytes]:
    """Every file that a run hands on, by its name."""
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in sorted(results.glob("step_*/*"))
        if path.is_file() and not path.name.startswith(".")
    }


def longest_chain(server: ScriptedEndpoint) -> float:
    """Seconds of the slowest video if nothing else ran: its slowest call of each stage, in order."""
    place = {kind: i for i, kinds in enumerate(_STAGES) for kind in kinds}
    slowest: dict[int, float] = defaultdict(float)
    for request, delay in server.served:
        stage = place.get(request.kind, len(_STAGES))
        slowest[stage] = max(slowest[stage], delay)
    return sum(slowest.values())


def least_seconds(server: ScriptedEndpoint, workers: int) -> float:
    """What no scheduler gets below: all latencies over the workers, or the longest chain of one video."""
    return max(sum(delay for _, delay in server.served) / workers, longest_chain(server))


def items_written_to(folder: Path) -> Path:
    """A results folder with a question about each of four videos, as the third step writes it."""
    step = folder / "results/step_3_qa/qa_output.jsonl"
    step.parent.mkdir(parents=True)
    with step.open("w", encoding="utf-8") as handle:
        for i, video in enumerate(make_videos(folder / "videos", 4, seconds=1.0)):
            item = {"question": f"Does cart {i} move?", "answer": "Yes", "explanation": "It does.", "reasoning": ""}
            text = json.dumps({"items": [item]})
            row = {"video": str(video), "prompt_key": "normal_bcq", "qa_output": text, "video_length": 1.0}
            handle.write(json.dumps(row) + "\n")
    return folder / "results"
