from __future__ import annotations

from pathlib import Path

from tao_skill_bank.data.changenet.layout import Workspace


def test_every_path_of_a_workspace_stands_below_its_root(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert {
        name: str(getattr(workspace, name).relative_to(tmp_path))
        for name in dir(Workspace)
        if isinstance(getattr(Workspace, name), property) and name != "images_dir"
    } == {
        "acceptance_csv": "kpi/acceptance_set.csv",
        "backbone_dir": "augmentation/backbone",
        "kpi_csv": "kpi/testing_set.csv",
        "pairs_ng": "augmentation/anomalygen/reconstructed_image",
        "pairs_ok": "augmentation/anomalygen/original_image",
        "pool_csv": "augmentation/mining_pool/mining_pool.csv",
        "results": "results",
        "spec": "specs/baseline_spec.yaml",
        "training_csv": "train/base/training_set.csv",
        "validation_csv": "train/base/validation_set.csv",
    }


def test_images_are_taken_from_whichever_folder_exists(tmp_path: Path) -> None:
    assert Workspace(tmp_path).images_dir is None
    (tmp_path / "kpi/images").mkdir(parents=True)
    assert Workspace(tmp_path).images_dir == tmp_path / "kpi/images"
    (tmp_path / "images").mkdir()
    assert Workspace(tmp_path).images_dir == tmp_path / "images"
