"""A stand-in for cosmos-rl and cosmos-embed in containers: command lines and files, no model; it misbehaves on request.

Named `cosmos-rl`, `cosmos-rl-evaluate` and `cosmos-embed1` in a test's image. `MODE` chooses what goes wrong.
"""

import json
import sys
import tomllib
from pathlib import Path

MODE = Path("/opt/mode").read_text().strip()


def evaluate(spec: dict) -> None:
    """Answers by id: right but for every fifth row; a trained model errs in every tenth."""
    rows = json.loads(Path(spec["dataset"]["annotation_path"]).read_text())
    every = 10 if "safetensors" in spec["model"]["model_name"] else 5
    out = Path(spec["results_dir"])
    out.mkdir(parents=True, exist_ok=True)
    if MODE == "no results":
        return
    if MODE == "empty results":
        (out / "results.json").write_text("")
        return
    items = []
    for number, row in enumerate(rows):
        truth = row["conversations"][1]["value"].lower()
        said = truth if number % every else {"yes": "no", "no": "yes"}[truth]
        name = f"other-{number}" if MODE == "wrong ids" else row["id"]
        items.append({"video_id": name, "question": row["conversations"][0]["value"], "response": said, "gt": truth})
    (out / "results.json").write_text(json.dumps(items))


def train(spec: dict, hook: str) -> None:
    """A checkpoint as cosmos-rl leaves it, none where that is asked for."""
    assert Path(hook).is_file(), hook
    assert spec["train"]["train_policy"]["dataset"]["name"].startswith("bcq_")
    rows = json.loads(Path(spec["custom"]["train_dataset"]["annotation_path"]).read_text())
    for row in rows:
        assert (Path(spec["custom"]["train_dataset"]["media_path"]) / row["video"]).is_file()
    if MODE == "no checkpoint":
        return
    epoch = Path(spec["train"]["output_dir"]) / "20260101120000" / "safetensors" / "epoch_1"
    epoch.mkdir(parents=True)
    (epoch / "config.json").write_text("{}")
    (epoch / "model.safetensors").write_text("weights")


def embed(spec: dict) -> None:
    """A vector a value, drawn by its name, in another order than asked; what is asked for is left out or spoiled."""
    import hashlib

    import numpy as np

    mode, out = spec["inference"]["mode"], Path(spec["results_dir"]) / "inference"
    asked = spec["inference"]["query"][{"text": "input_texts", "video": "input_videos"}[mode]]
    assert asked and len(asked) == len(set(asked)) and spec["inference"]["checkpoint"]
    out.mkdir(parents=True, exist_ok=True)
    if MODE == "no embeddings":
        return
    values = sorted(asked, reverse=True)
    seeds = [int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") for value in values]
    array = np.stack([np.random.default_rng(seed).standard_normal(16) for seed in seeds]).astype(np.float32)
    if MODE == "spoiled embeddings":
        array[0, 0] = np.nan
    np.save(out / f"{mode}.npy", array)
    key = {"text": "text", "video": "video_path"}[mode]
    rows = [{"npy_row": row, key: value} for row, value in enumerate(values)]
    rows = rows[1:] if MODE == "an embedding short" else rows
    table = {"npy_file": f"{mode}.npy", "results": rows}
    (out / f"{mode}_embeddings.json").write_text(json.dumps(table))


def main() -> None:
    """Read the spec behind `--config`, or behind `-e`."""
    if Path(sys.argv[0]).name == "cosmos-embed1":
        import yaml

        assert sys.argv[1:3] == ["inference", "-e"], sys.argv
        assert Path("/tmp/protobuf").exists(), "pip was not asked first"
        embed(yaml.safe_load(Path(sys.argv[3]).read_text()))
        return
    spec = tomllib.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    if Path(sys.argv[0]).name == "cosmos-rl":
        train(spec, sys.argv[-1])
    else:
        evaluate(spec)


main()
