"""The page for programs, run as it is typed; and the front door: what it names, and what importing it costs."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
import yaml
from scripted_endpoint import ScriptedEndpoint
from videos import make_video

import tao_skill_bank as tao
from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig, VlmBcqConfig
from tao_skill_bank.core.overrides import parse_override, settings_of
from tao_skill_bank.data.changenet.lay_out import lay_out
from tao_skill_bank.loop.request import Request

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page is typed: a workspace, a pool, an evaluation, videos and a spec of an endpoint."""
    workspace = tiny.make_workspace(tmp_path / "W")
    pool = [str(path) for path in sorted((workspace / "images/po").glob("*.png"))]
    pd.DataFrame({"filepath": pool}).to_parquet(tmp_path / "pool.parquet")
    rows = [
        {"video_id": f"v{i}.mp4", "question": "Is it red?", "response": said, "gt": truth}
        for i, (said, truth) in enumerate([("Yes", "No"), ("No", "No"), ("No", "Yes"), ("Yes", "Yes")])
    ]
    (tmp_path / "predictions.json").write_text(json.dumps(rows), encoding="utf-8")
    make_video(tmp_path / "videos/a.mp4", seconds=1)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_of_the_page_runs_as_it_is_typed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedEndpoint() as server, tiny.fake_model():
        model = {"backend": "openai", "openai": {"base_url": f"{server.url}/v1", "model_name": "scripted"}}
        spec = {"video_reasoning_annotation": {"vlm": model, "llm": model}}
        (folder / "annotate.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        names: dict[str, Any] = {}
        for block in BLOCKS:
            if "OTHER-RUN" in block:
                shutil.copytree(names["done"].results_dir, "OTHER-RUN")
            exec(compile(block, str(GUIDE), "exec"), names)
    said = capsys.readouterr().out
    assert "Pre-Flight Summary" in said
    assert "KPI target not understood" in said
    assert names["done"].status == "complete"
    assert names["done"].verdict.line in said
    assert (folder / "compare.html").is_file()
    assert (names["answers"].fp, names["answers"].fn) == (1, 1)
    assert names["mined"].filepaths
    assert (folder / "mined/mined.parquet").is_file()
    assert names["ended"].videos == 1
    assert "complete" in said.splitlines()[-1]


def test_nothing_starts_without_the_digest_or_with_another(folder: Path) -> None:
    plan = tao.plan("W", "FAR < 5% at recall=95%", max_iterations=1)
    for digest in (None, "0" * 64):
        with pytest.raises(tao.NeedsApprovalError) as refused:
            tao.run(plan, approve=digest)
        assert refused.value.digest == plan.digest
    assert not (folder / "W/results").exists()


def test_what_has_changed_since_the_plan_does_not_start(folder: Path) -> None:
    plan = tao.plan("W", "FAR < 5% at recall=95%", max_iterations=1)
    spec = folder / "W/specs/baseline_spec.yaml"
    spec.write_text(spec.read_text(encoding="utf-8") + "\n# a word\n", encoding="utf-8")
    with pytest.raises(tao.NeedsApprovalError, match="not this plan"):
        tao.run(plan, approve=plan.digest)


def test_every_public_name_is_there_typed_and_documented() -> None:
    for name in tao.__all__:
        found = getattr(tao, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(found), name
        if callable(found) and not inspect.isclass(found):
            signature = inspect.signature(found)
            assert all(p.annotation is not p.empty for p in signature.parameters.values()), name
            assert signature.return_annotation is not signature.empty, name
    assert set(dir(tao)) == set(tao.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tao.nothing  # noqa: B018


def test_the_front_door_is_the_same_whatever_was_imported_before() -> None:
    code = "import tao_skill_bank.annotate.api; import tao_skill_bank as tao; print(tao.annotate.__signature__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "max_cost" in done.stdout


def test_importing_the_front_door_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import tao_skill_bank as tao; print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = [name for name in loaded if name.startswith("tao_skill_bank")]
    assert ours == ["tao_skill_bank", "tao_skill_bank.core", "tao_skill_bank.core.version"]
    assert not {"numpy", "pandas", "pydantic", "pyarrow"} & set(loaded)


def test_the_arguments_are_those_of_the_requests_behind_them() -> None:
    def names(function: Any) -> set[str]:
        return set(inspect.signature(function).parameters)

    assert names(tao.gaps.vcn_aoi) == {field.name for field in fields(VcnAoiConfig)}
    told = set(re.findall(r"`(\w+)`", str(inspect.getdoc(tao.gaps.vlm_bcq)).split("options:")[1].split("Raises")[0]))
    assert told - {"gap_analysis"} == {field.name for field in fields(VlmBcqConfig)} - {
        "predictions_json",
        "results_dir",
    }
    assert {"kpi_target" if n == "target" else n for n in names(tao.plan)} == set(Request.__dataclass_fields__)
    assert {"workspace" if n == "to" else n for n in names(tao.workspace)} == names(lay_out)


@pytest.mark.parametrize(
    "value",
    [1, -0.25, 1e-7, True, None, "two words", "it's", "", "null", "7", ["a b", 3], {"k": "v"}, "a=b,c", "ä/ö.csv"],
)
def test_a_setting_of_a_mapping_is_read_back_as_it_was(value: object) -> None:
    (text,) = settings_of({"a.b": value})
    assert parse_override(text) == ("a.b", value)


def test_settings_as_one_text_or_as_an_object_are_refused() -> None:
    with pytest.raises(tao.InputError, match="give a list of texts, or a mapping"):
        settings_of("a=1")
    with pytest.raises(tao.InputError, match="cannot be a setting"):
        settings_of({"a": object()})
