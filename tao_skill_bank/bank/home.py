"""Where the bank's own files lie, its manifests, `versions.yaml` and skills, and its own of TAO's command lines."""

from __future__ import annotations

from pathlib import Path

# Command line → the module that has it, and its function where that is not `main`.
CATEGORIES = {
    "gap_analysis": "tao_skill_bank.actions.gap_analysis.cli",
    "visual_changenet": "tao_skill_bank.actions.visual_changenet.cli",
    "embedding": "tao_skill_bank.actions.mining.embedding_cli",
    "tmm": "tao_skill_bank.actions.mining.tmm_cli",
    "auto_label": "tao_skill_bank.actions.auto_label.cli",
    "cosmos-rl": "tao_skill_bank.actions.cosmos_rl.cli:train",
    "cosmos-rl-evaluate": "tao_skill_bank.actions.cosmos_rl.cli:evaluate",
}


_PACKAGE = Path(__file__).resolve().parent.parent


def bank_root() -> Path:
    """The folder that holds `plugin.json`, `versions.yaml` and `skills/`.

    The repository (or the plugin's folder) where the package lies in one, else the copy that the wheel carries.
    """
    beside = _PACKAGE.parent
    return beside if (beside / "plugin.json").is_file() and (beside / "skills").is_dir() else _PACKAGE / "bank"
