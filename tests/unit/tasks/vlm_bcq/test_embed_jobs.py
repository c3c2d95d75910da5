"""Vectors by cosmos-embed: what is asked for, what is joined, what stops; the container is a part of the e2e tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import bcq
import numpy as np
import pytest

from tao_skill_bank.core.errors import BankError, GateError, InputError
from tao_skill_bank.core.yamlio import read_yaml
from tao_skill_bank.loop.run import JobPlan
from tao_skill_bank.platforms.base import new_record
from tao_skill_bank.platforms.container import plan_container, settings_of
from tao_skill_bank.tasks.vlm_bcq import specs
from tao_skill_bank.tasks.vlm_bcq.config import EmbeddingsConfig, MiningConfig, VlmConfig
from tao_skill_bank.tasks.vlm_bcq.embed_jobs import encoder_of, read_vectors
from tao_skill_bank.tasks.vlm_bcq.state import Run
from tao_skill_bank.tasks.vlm_bcq.workspace import settled

KEYS = ["do two vehicles touch?", "is 'one' red: yes?", "größer als zwei? sag ja."]


def config(workspace: Path, **more: Any) -> VlmConfig:
    given = {"workspace": str(workspace), "kpi": str(workspace / "kpi/annotations.json"), "platform": "docker"}
    return VlmConfig.model_validate({**given, "mining": {"encoder": "cosmos_embed"}, **more})


def write(folder: Path, mode: str, rows: Sequence[tuple[str, int]], array: Any) -> None:
    out = folder / "inference"
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "vectors.npy", np.asarray(array))
    key = {"video": "video_path", "text": "text"}[mode]
    told = {"npy_file": "/elsewhere/vectors.npy", "results": [{"npy_row": row, key: name} for name, row in rows]}
    (out / f"{mode}_embeddings.json").write_text(json.dumps(told))


@dataclass
class Embedded:
    """As much of a run as embedding takes: its jobs are done by whoever is asked, and written down."""

    root: Path
    config: VlmConfig
    asked: list[tuple[str, str, list[str]]] = field(default_factory=list)

    @property
    def state(self) -> Any:
        return SimpleNamespace(config=self.config)

    def folder(self, label: str) -> Path:
        return self.root / label

    def jobs(self, label: str, stage: str, plans: Sequence[JobPlan]) -> None:
        for plan in plans:
            spec = read_yaml(Path(plan.command[-1]))
            query = spec["inference"]["query"]
            values = [*query["input_texts"], *query["input_videos"]]
            self.asked.append((label, spec["inference"]["mode"], values))
            rows = list(reversed(values))
            vectors = [[len(value), sum(map(ord, value)), 1.0] for value in rows]
            write(Path(spec["results_dir"]), spec["inference"]["mode"], [(v, n) for n, v in enumerate(rows)], vectors)


def test_each_video_and_question_is_embedded_once_a_run_and_joined_by_its_value(tmp_path: Path) -> None:
    made = Embedded(tmp_path / "run", config(tmp_path))
    run, videos = cast(Run, made), [tmp_path / f"{n}.mp4" for n in range(3)]
    first = made.folder("iter1") / "mining"
    encoder = encoder_of(run, "iter1", "data_mining", first, [videos[0], videos[1], videos[0]], [KEYS[0], *KEYS])
    assert encoder.name == "cosmos_embed"
    assert made.asked == [("iter1", "video", [str(v) for v in videos[:2]]), ("iter1", "text", KEYS)]
    raw = np.array([[len(key), sum(map(ord, key)), 1.0] for key in KEYS])
    assert np.allclose(encoder.texts(KEYS), raw / np.linalg.norm(raw, axis=1, keepdims=True))
    encoder_of(run, "iter1", "annotate", made.folder("iter1") / "annotate", videos, [])
    later = encoder_of(run, "iter2", "data_mining", made.folder("iter2") / "mining", videos, KEYS)
    assert made.asked[2:] == [("iter1", "video", [str(videos[2])])], "nothing is embedded a second time"
    assert later.videos(videos).shape == (3, 3)


class Killed(BaseException):
    """The process ends here."""


def test_whoever_embeds_may_be_killed_at_any_write_and_the_next_one_leaves_the_same_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, left = [tmp_path / f"{n}.mp4" for n in range(3)], [0]

    def dying(write: Callable[..., Any], *, half: bool) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0]:
                return write(path, *args, **more)
            if half:
                write(path, *args, **more)
                os.truncate(path, Path(path).stat().st_size // 2)
            raise Killed

        return call

    def embedded(root: Path) -> dict[str, bytes]:
        run = cast(Run, Embedded(root, config(tmp_path)))
        encoder_of(run, "iter1", "data_mining", root / "iter1" / "mining", videos, KEYS)
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(f.relative_to(root)): f.read_bytes().replace(root.name.encode(), b"run") for f in files}

    clean = embedded(tmp_path / "clean")
    assert {Path(name).name for name in clean} >= {"embeddings.parquet", "video.yaml", "text.yaml", "vectors.npy"}
    for at in range(1, 50):
        root, left[0] = tmp_path / f"killed-{at}", at
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", dying(os.replace, half=False))
            patched.setattr(np, "save", dying(np.save, half=True))
            patched.setattr(Path, "write_text", dying(Path.write_text, half=True))
            try:
                embedded(root)
                break
            except Killed:
                pass
        assert embedded(root) == clean, at
    assert at > 6, "two specs, two arrays, two tables of the jobs, the table of the stage"


@pytest.mark.parametrize(
    ("rows", "array", "said"),
    [
        ([("a", 0)], np.ones((2, 3)), "1 of 2 were embedded, missing 'b'"),
        ([("a", 0), ("b", 2)], np.ones((2, 3)), "the row of 'b' is not among the 2 of vectors.npy"),
        ([("a", 0), ("b", -1)], np.ones((2, 3)), "the row of 'b' is not among"),
        ([("a", 0), ("b", 1)], [[1.0, 2.0], [np.inf, 1.0]], "no finite embedding of 'b' (1 in all)"),
        ([("a", 0), ("b", 1)], [[0.0, 0.0], [1.0, 1.0]], "no finite embedding of 'a' (1 in all)"),
        ([("a", 0), ("b", 1)], [1.0, 2.0], "has the shape [2], and must be rows of vectors"),
        ([("a", 0), ("b", 1)], [["x"], ["y"]], "is no array of numbers"),
    ],
)
def test_a_vector_that_is_missing_or_not_finite_stops_with_its_value(
    tmp_path: Path, rows: list[tuple[str, int]], array: Any, said: str
) -> None:
    write(tmp_path, "text", rows, array)
    with pytest.raises(GateError) as stopped:
        read_vectors(tmp_path, "text", ["a", "b"])
    assert stopped.value.gate == "embeddings"
    assert said in stopped.value.line() and "\n" not in stopped.value.line()


@pytest.mark.parametrize("text", ["", "[]", '{"npy_file": 3, "results": []}', '{"npy_file": "x.npy", "results": [{}]}'])
def test_a_table_of_vectors_that_is_none_stops(tmp_path: Path, text: str) -> None:
    with pytest.raises(GateError, match="was not written"):
        read_vectors(tmp_path, "video", ["a"])
    (tmp_path / "inference").mkdir()
    (tmp_path / "inference/video_embeddings.json").write_text(text)
    with pytest.raises(GateError, match="is no table of npy_file and results"):
        read_vectors(tmp_path, "video", ["a"])


def test_the_container_of_cosmos_embed_gets_pips_line_before_its_own(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    settings = settings_of(config(tmp_path / "w"))
    record = new_record(
        key="iter1.data_mining.embed_text",
        platform="docker",
        command=["cosmos-embed1", "inference", "-e", f"{tmp_path}/w/results/r/text.yaml"],
        outputs=[tmp_path / "w/results/r/iter1/mining/embed/text"],
        cwd=tmp_path / "w",
        results_dir=tmp_path / "w/results/r",
    )
    planned = plan_container(settings, record, environment={})
    line = f'python -m pip install "protobuf<7" && cosmos-embed1 inference -e {tmp_path}/w/results/r/text.yaml'
    assert planned.program == ("bash", "-lc", line)
    assert planned.image.endswith("cosmos-embed") and planned.image in settings.images(generator=False)
    ready = config(tmp_path / "w", embeddings={"kpi": "/k", "pool": "/p"})
    assert planned.image not in settings_of(ready).images(generator=False), "ready-made ones need no image"


def test_the_users_spec_says_what_embeds_and_turns_it_on_in_containers_alone(tmp_path: Path) -> None:
    workspace = bcq.workspace(tmp_path / "w")
    own = workspace / "specs/embed.yaml"
    own.parent.mkdir(exist_ok=True)
    own.write_text("inference: {checkpoint: org/model, k: 5}\n")
    given = {"pool": str(workspace / "pool/annotations.json"), "embed_spec": str(own), "mining": {}}
    there = settled(config(workspace, **given))
    assert there.mining.encoder == "cosmos_embed" and specs.embed_model(there) == "org/model"
    for change in ({"platform": "local"}, {"embed_spec": None}, {"mining": {"encoder": "frames"}}):
        assert settled(config(workspace, **{**given, **change})).mining.encoder == "frames"
    spec = read_yaml(specs.write_embed(tmp_path / "s.yaml", there, tmp_path / "out", "text", ["q?"]))
    assert spec["inference"]["k"] == 5 and spec["inference"]["query"] == {"input_texts": ["q?"], "input_videos": []}
    for text, said in (("model: {}\n", "names no inference.checkpoint"), ("- x\n", "is no mapping")):
        own.write_text(text)
        with pytest.raises(InputError, match=said):
            specs.embed_model(there)
    own.write_text(f"inference: {{checkpoint: {tmp_path}}}\n")
    with pytest.raises(BankError, match=r"inference\.checkpoint"):
        specs.embed_model(there)


def test_ready_made_embeddings_of_both_sides_come_before_the_container() -> None:
    of = VlmConfig(workspace="/w", kpi="", mining=MiningConfig(encoder="cosmos_embed"))
    assert of.embeds() and of.embeds_with() == "images.tao_toolkit.cosmos_embed"
    half = of.model_copy(update={"embeddings": EmbeddingsConfig(pool="/p")})
    both = of.model_copy(update={"embeddings": EmbeddingsConfig(pool="/p", kpi="/k")})
    assert half.embeds() and not both.embeds() and both.embeds_with() is None
