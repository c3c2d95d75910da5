"""The TAO command lines that the bank has an implementation of its own for, and the module of each."""

from __future__ import annotations

CATEGORIES = {
    "gap_analysis": "tao_skill_bank.actions.gap_analysis.cli",
    "visual_changenet": "tao_skill_bank.actions.visual_changenet.cli",
    "embedding": "tao_skill_bank.actions.mining.embedding_cli",
    "tmm": "tao_skill_bank.actions.mining.tmm_cli",
    "auto_label": "tao_skill_bank.actions.auto_label.cli",
    "cosmos-rl": "tao_skill_bank.actions.cosmos_rl.train_cli",
    "cosmos-rl-evaluate": "tao_skill_bank.actions.cosmos_rl.evaluate_cli",
}
