"""`embedding` and `tmm` as installed commands: TAO data services' lines, exit statuses, one-line errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageDraw

BIN = Path(sys.executable).parent


def run(*line, cwd):
    return subprocess.run([str(BIN / line[0]), *line[1:]], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path):
    """A pool of horizontal and vertical wires, weak samples of horizontal ones, and the two specs."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)

    def draw(name, across):
        image = Image.new("L", (64, 64), 255)
        at = int(rng.integers(24, 40))
        ImageDraw.Draw(image).line((0, at, 64, at) if across else (at, 0, at, 64), fill=0, width=6)
        image.save(tmp_path / "images" / f"{name}.png")
        return f"images/{name}.png"

    pool = [draw(f"pool{i}", i % 2 == 0) for i in range(12)]
    weak = [draw(f"weak{i}", True) for i in range(3)]
    labels = ["across", "down"] * 6
    pq.write_table(pa.table({"filepath": pool, "label": labels}), tmp_path / "pool.parquet")
    pq.write_table(pa.table({"filepath": weak, "label": ["Across"] * 3}), tmp_path / "weak.parquet")
    (tmp_path / "emb.yaml").write_text("model: local\nbatch_size: 8\n")
    (tmp_path / "mine.yaml").write_text("topn: 2\nknn_metric: euclidean\n")
    return tmp_path


def embed(folder, name):
    return run(
        "embedding", "image_embeddings", "-e", "emb.yaml",
        f"input_parquet={name}.parquet", f"output_parquet=out/{name}_embeddings.parquet", cwd=folder,
    )  # fmt: skip


def mine(folder, *more):
    return run(
        "tmm", "nearest_neighbors", "-e", "mine.yaml", "source_parquet=out/pool_embeddings.parquet",
        "target_parquet=out/weak_embeddings.parquet", "output_parquet=out/mined.parquet", "topn=5",
        "knn_metric=cosine", *more, cwd=folder,
    )  # fmt: skip


def test_embedding_twice_and_mining_once_finds_the_look_alikes(folder):
    for name, rows in (("pool", 12), ("weak", 3)):
        done = embed(folder, name)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{rows} images embedded with local-descriptor (version 1)" in done.stdout
    done = mine(folder, "filter_by_label=false")
    assert (done.returncode, done.stderr) == (0, "")
    out = pq.read_table(folder / "out" / "mined.parquet").to_pydict()
    assert list(out) == ["filepath", "similarity", "target"]
    across = {f"images/pool{i}.png" for i in range(0, 12, 2)}
    assert set(out["filepath"]) <= across
    assert len(out["filepath"]) >= 5
    assert (folder / "out" / "mining_summary.txt").read_text() == done.stdout


@pytest.mark.parametrize("how", ["true", "after", "within"])
def test_labels_are_compared_without_case_before_or_after_the_search(folder, how):
    embed(folder, "pool")
    embed(folder, "weak")
    done = mine(folder, f"filter_by_label={how}", "distance_threshold=0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert ("within the label" in done.stdout) == (how == "within")
    out = pq.read_table(folder / "out" / "mined.parquet").to_pydict()
    assert min(out["similarity"]) >= 0.9


def test_the_resolved_configuration_has_the_keys_of_tao_data_services(folder):
    shown = yaml.safe_load(run("embedding", "image_embeddings", "-e", "emb.yaml", "--cfg=job", cwd=folder).stdout)
    assert shown == {
        "input_parquet": "???",
        "output_parquet": "???",
        "model": "local",
        "model_path": "",
        "model_config_path": "",
        "batch_size": 8,
    }
    shown = yaml.safe_load(run("tmm", "nearest_neighbors", "--cfg=job", cwd=folder).stdout)
    assert shown == {
        "source_parquet": "???",
        "target_parquet": "???",
        "output_parquet": "???",
        "topn": 5,
        "knn_metric": "euclidean",
        "source_embed_column_name": "embedding",
        "target_embed_column_name": "embedding",
        "filter_by_label": "false",
        "distance_threshold": -1.0,
        "group_by": "",
    }


PATHS = ["source_parquet=pool.parquet", "target_parquet=weak.parquet", "output_parquet=out/m.parquet"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["embedding", "image_embedding"], "unknown action 'image_embedding' (did you mean 'image_embeddings'?)"),
        (["embedding", "image_embeddings", "-e", "emb.yaml"], "required value not set: input_parquet, output_parquet"),
        (["embedding", "image_embeddings", "input=a"], "unknown key 'input'"),
        (["embedding", "image_embeddings", "input_parquet=pool.parquet", "output_parquet=o", "batch_size=0"],
         "batch_size: must be a whole number of at least 1, not 0"),
        (["embedding", "image_embeddings", "input_parquet=none.parquet", "output_parquet=o", "model=local"],
         "none.parquet: no such parquet file"),
        (["embedding", "image_embeddings", "input_parquet=pool.parquet", "output_parquet=o", "model=DINO"],
         "unknown model 'DINO'"),
        (["embedding", "image_embeddings", "input_parquet=pool.parquet", "output_parquet=o", "model=SigLIP",
          "model_path=no/where"], "no model weights on disk for 'no/where'"),
        (["embedding", "image_embeddings", "input_parquet=pool.parquet", "output_parquet=o",
          "model_config_path=clip.yaml"], "model_config_path: belongs to a TAO checkpoint"),
        (["tmm", "nearest_neighbors", *PATHS, "top_n=3"], "unknown key 'top_n' (did you mean 'topn'?)"),
        (["tmm", "nearest_neighbors", *PATHS, "topn=many"], "topn: must be a whole number of at least 1, not 'many'"),
        (["tmm", "nearest_neighbors", *PATHS, "distance_threshold=near"], "must be a finite number, not 'near'"),
        (["tmm", "nearest_neighbors", *PATHS, "knn_metric=cosin"], "did you mean 'cosine'?"),
        (["tmm", "nearest_neighbors", *PATHS], "weak.parquet: no column 'embedding'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_two_and_nothing_is_written(folder, line, says):
    before = sorted(folder.rglob("*"))
    done = run(*line, cwd=folder)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert sorted(folder.rglob("*")) == before


def test_a_damaged_image_names_table_row_and_file(folder):
    (folder / "images" / "pool7.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = embed(folder, "pool")
    assert done.returncode == 2
    assert done.stderr.startswith("embedding: pool.parquet row 8: images/pool7.png: cannot be read as an image")
    assert not (folder / "out").exists()


def test_tables_of_different_encoders_are_not_compared(folder):
    embed(folder, "pool")
    embed(folder, "weak")
    path = folder / "out" / "weak_embeddings.parquet"
    table = pq.read_table(path)
    note = {b"tao_skill_bank.encoder": b'{"name": "SigLIP", "version": "9"}'}
    pq.write_table(table.replace_schema_metadata(note), path)
    done = mine(folder)
    assert done.returncode == 2
    assert "embedded with local-descriptor (version 1), but" in done.stderr
    assert not (folder / "out" / "mined.parquet").exists()


@pytest.mark.parametrize("command", ["embedding", "tmm"])
def test_help_names_every_key(folder, command):
    action = {"embedding": "image_embeddings", "tmm": "nearest_neighbors"}[command]
    assert action in run(command, "--help", cwd=folder).stdout
    text = run(command, action, "--help", cwd=folder).stdout
    keys = yaml.safe_load(run(command, action, "--cfg=job", cwd=folder).stdout)
    assert [key for key in keys if f"\n  {key} " not in text] == []


def test_neither_command_imports_pandas_which_takes_longer_than_the_work(folder):
    embed(folder, "pool")
    embed(folder, "weak")
    code = "import sys; from tao_skill_bank.actions.mining.{0}_cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('pandas' in sys.modules)"
    lines = {
        "embedding": ["image_embeddings", "input_parquet=pool.parquet", "output_parquet=e.parquet", "model=local"],
        "tmm": ["nearest_neighbors", "source_parquet=out/pool_embeddings.parquet", "filter_by_label=within",
                "target_parquet=out/weak_embeddings.parquet", "output_parquet=m.parquet"],
    }  # fmt: skip
    for command, line in lines.items():
        python = [sys.executable, "-c", code.format(command), *line]
        done = subprocess.run(python, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.stdout.splitlines()[-1] == "False", done.stderr
