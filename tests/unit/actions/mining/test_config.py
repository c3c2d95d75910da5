"""What the two command lines may say, and what the commands do with it in this process."""

from __future__ import annotations

import pytest

from tao_skill_bank.actions.console import run_category
from tao_skill_bank.actions.mining import embedding_cli, tmm_cli
from tao_skill_bank.actions.mining.config import ImageEmbeddingsConfig, NearestNeighborsConfig
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.settings import validated

PATHS = {"source_parquet": "s", "target_parquet": "t", "output_parquet": "o"}


@pytest.mark.parametrize(
    ("value", "names"),
    [("", ()), (None, ()), ("lighting", ("lighting",)), ("a, b", ("a", "b")), (["a", "b"], ("a", "b"))],
)
def test_columns_to_group_by_are_a_list_or_text_with_commas(value, names):
    assert validated(NearestNeighborsConfig, {**PATHS, "group_by": value}).group_by == names


@pytest.mark.parametrize(("value", "text"), [(False, "false"), (True, "true"), (1, "1"), ("within", "within")])
def test_a_label_filter_may_come_as_yaml_reads_it(value, text):
    assert validated(NearestNeighborsConfig, {**PATHS, "filter_by_label": value}).filter_by_label == text


@pytest.mark.parametrize(
    ("key", "value"),
    [("topn", True), ("topn", 1.5), ("topn", None), ("distance_threshold", float("inf")), ("distance_threshold", True),
     ("knn_metric", ["cosine"]), ("group_by", [1]), ("source_parquet", "")],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_named(key, value):
    with pytest.raises(InputError, match=key):
        validated(NearestNeighborsConfig, {**PATHS, key: value})


def test_the_spec_of_a_tao_checkpoint_is_refused():
    config = validated(ImageEmbeddingsConfig, {"input_parquet": "i", "output_parquet": "o", "model_config_path": "c"})
    with pytest.raises(InputError, match="belongs to a TAO checkpoint"):
        config.encoder()


def test_both_commands_run_in_this_process_and_print_what_they_did(tmp_path, table, images, capsys):
    for name in ("pool", "weak"):
        source = table(f"{name}.parquet", filepath=images[:4])
        line = ["image_embeddings", f"input_parquet={source}", f"output_parquet={tmp_path}/{name}_e.parquet"]
        assert run_category("embedding", embedding_cli.ACTIONS, [*line, "model=local"]) == 0
    line = ["nearest_neighbors", f"source_parquet={tmp_path}/pool_e.parquet"]
    line += [f"target_parquet={tmp_path}/weak_e.parquet", f"output_parquet={tmp_path}/m.parquet"]
    assert run_category("tmm", tmm_cli.ACTIONS, [*line, "topn=1", "filter_by_label=true"]) == 0
    shown = capsys.readouterr()
    assert "4 images embedded with local-descriptor" in shown.out
    assert "  Unique items saved: 4" in shown.out.splitlines()
    assert "tmm: warning: no label column" in shown.err


@pytest.mark.parametrize(("command", "actions"), [("embedding", embedding_cli.ACTIONS), ("tmm", tmm_cli.ACTIONS)])
def test_the_resolved_configuration_is_shown_without_running(command, actions, capsys):
    (action,) = actions
    assert run_category(command, actions, [action, "--cfg=job"]) == 0
    assert "output_parquet: ???" in capsys.readouterr().out
