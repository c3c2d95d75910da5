"""Where the bank's own files lie: its manifests, `versions.yaml` and skills."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def bank_root() -> Path:
    """The folder that holds `plugin.json`, `versions.yaml` and `skills/`.

    The repository (or the plugin's folder) where the package lies in one, else the copy that the wheel carries.
    """
    beside = _PACKAGE.parent
    return beside if (beside / "plugin.json").is_file() and (beside / "skills").is_dir() else _PACKAGE / "bank"
