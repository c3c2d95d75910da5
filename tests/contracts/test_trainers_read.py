"""The trainers' own reading code, from the package index, reads what an export and the merge of the second loop write.

Only what reads is imported: no model is loaded, nothing is trained. LLaMA-Factory, ms-swift and cosmos-rl are installed
without what they depend on, since half of that is for GPUs; `READING` is what their reading code imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bcq
import pytest
from annotation import items_written_to
from click.testing import CliRunner

from tao_skill_bank.cli import cli
from tao_skill_bank.data.bcq.records import read_set, tool_record

TRAINERS = ("llamafactory==0.9.5", "ms-swift==4.6.0", "cosmos-rl==0.4.7")
READING = (
    *("torch==2.14.1", "torchvision==0.29.1", "torchaudio==2.11.1", "transformers==5.24.0", "datasets==5.2.0"),
    *("accelerate", "peft", "trl", "pillow", "qwen-vl-utils", "modelscope", "attrdict", "addict", "json-repair"),
    *("fire", "omegaconf", "av", "toml", "aiohttp", "msgpack", "nvidia-ml-py", "diffusers", "StrEnum", "einops"),
    *("boto3", "redis", "nvidia-tao-daft==7.0.0"),
)
READ = """
import json, os, sys
from types import SimpleNamespace as Names
kind, place = sys.argv[1:]
if kind == "LLaMA-Factory":
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams.data_args import DataArguments
    model = Names(cache_dir=None, hf_hub_token=None, ms_hub_token=None, om_hub_token=None)
    training = Names(local_process_index=0, dataloader_num_workers=0)
    (found,) = get_dataset_list([os.path.basename(place) + "_train"], place)
    read = _load_single_dataset(found, model, DataArguments(dataset_dir=place, media_dir=place), training)
    rows = [[r["_prompt"] + r["_response"], r["_videos"]] for r in read]
elif kind == "ms-swift":
    from swift.dataset import load_dataset
    rows = [[r["messages"], r["videos"]] for r in load_dataset([place + "/train.jsonl"], num_proc=1)[0]]
elif kind == "daft":
    from nvidia_tao_daft.datasets.tao_vl_reason_v1_0 import TaoVlReasonV1_0CosmosRLConversationDataset as Conversations
    rows = [[turns, [turns[0]["content"][0]["video"]]] for turns in Conversations([place + "/train/bcq.json"])]
else:
    import datasets
    from cosmos_rl.policy.config import SFTDataConfig
    from cosmos_rl.tools.dataset.hf_vlm_sft import HFVLMSFTDataset
    merged = os.path.isfile(place)
    asked = ("json", None, None, {"train": place}) if merged else (place,)
    read = HFVLMSFTDataset(datasets.load_dataset(*asked))
    read.setup(Names(train=Names(train_policy=Names(dataset=Names(split="train")))))
    turns = SFTDataConfig.model_fields["conversation_column_name"].default if merged else "messages"
    rows = [[r[turns], [r["video"]] if merged else r["videos"]] for r in (read[i] for i in range(len(read)))]
open(os.environ["READ_TO"], "w").write(json.dumps(rows))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the trainers; the tests are skipped where they cannot be installed."""
    folder = tmp_path_factory.mktemp("trainers")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    for packages in (READING, ("--no-deps", *TRAINERS)):
        pip = [str(folder / "bin/pip"), "-q", "install", *packages]
        done = subprocess.run(pip, capture_output=True, text=True, timeout=1500)
        if done.returncode:
            pytest.skip(f"trainers cannot be installed from the package index here: {done.stderr[-200:]}")
    return folder / "bin/python"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return items_written_to(tmp_path_factory.mktemp("items"))


def read(python: Path, kind: str, place: Path, folder: Path) -> list[Any]:
    """What a trainer makes of it: of each row its turns and its videos."""
    env = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "home"), "PATH": "/usr/bin:/bin"}
    # Newer than the one that LLaMA-Factory names; its reading does not use it.
    env |= {"DISABLE_VERSION_CHECK": "1", "READ_TO": str(folder / "read.json"), "HOME": str(folder)}
    env |= {"MODELSCOPE_CACHE": str(folder / "modelscope")}
    command = [str(python), "-c", READ, kind, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=900, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads((folder / "read.json").read_text()))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kind", "layout"), [("LLaMA-Factory", "sharegpt"), ("ms-swift", "swift"), ("cosmos-rl", "hf"), ("daft", "tao")]
)
def test_a_trainer_reads_every_row_of_an_export_and_finds_its_videos(
    kind: str, layout: str, python: Path, results: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    split = ["--media", "copy", "--split", "75/25"]
    done = CliRunner().invoke(cli, ["annotate", "export", str(results), "--format", layout, "--to", str(to), *split])
    assert done.exit_code == 0, done.output
    rows = read(python, kind, to, tmp_path)
    assert len(rows) == 3
    for turns, videos in rows:
        assert [turn["role"] for turn in turns] == ["user", "assistant"]
        assert "Does cart" in json.dumps(turns[0]["content"]) and turns[1]["content"] == "Yes"
        assert [(to / video).is_file() for video in videos] == [True]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_cosmos_rl_reads_every_row_that_the_merge_writes(python: Path, tmp_path: Path) -> None:
    asked = [bcq.record(f"r{n}", f"{n}.mp4", "No" if n % 2 else "Yes", asked=f"Question {n}?") for n in range(3)]
    path = bcq.write_set(tmp_path, "base", asked, videos=(0, 1, 2))
    made = {"source": "mined", "iteration": 1}
    records = read_set("base", path, tmp_path, strict=True).records
    written = [tool_record(record, tmp_path, made) for record in records]
    merged = tmp_path / "train_annotations.json"
    merged.write_text(json.dumps(written))
    assert read(python, "cosmos-rl", merged, tmp_path) == [[r["conversations"], [r["video"]]] for r in written]
    assert all((tmp_path / r["video"]).is_file() for r in written)
