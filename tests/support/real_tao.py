"""NVIDIA's own Visual ChangeNet and gap analysis on this machine's CPU, from the Python index: about 2.6 GB, 90 s.

It is for proofs alone, in an environment of its own, and is kept in the tests' cache. `TAO_REAL_BIN` may name a folder
with the commands of a TAO that is installed already.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock
from node_clients import CACHE

VERSION = "7.3.0"
TORCH = "torch==2.13.0"
ALONE = ("torchvision==0.28.0", "open-clip-torch==3.3.0")
NEEDED = (
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "timm",
    "pandas",
    "pyarrow",
    "numpy<2.3",
    "pillow",
    "matplotlib",
    "tensorboard",
    "wandb",
    "einops",
    "scipy",
    "scikit-learn",
    "termcolor",
    "colorama",
    "six",
    "opencv-python-headless",
    "ruamel.yaml",
    "fvcore",
    "ftfy",
    "regex",
    "transformers",
    "onnx",
    "onnx-graphsurgeon",
    "marshmallow",
    "torchmetrics",
)
COMMANDS = {
    "visual_changenet": "nvidia_tao_pytorch.cv.visual_changenet.entrypoint.visual_changenet",
    "gap_analysis": "nvidia_tao_ds.rcca.gap_analysis.entrypoint.gap_analysis",
}
_LIMIT_SEC = 1500


def real_tao_bin() -> Path:
    """The folder with TAO's `visual_changenet` and `gap_analysis`; skips the test where it cannot be made."""
    given = os.environ.get("TAO_REAL_BIN")
    if given:
        return Path(given)
    folder = CACHE / f"real-tao-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "ready").exists():
            try:
                _make(folder)
            except (subprocess.SubprocessError, OSError) as error:
                output = getattr(error, "stderr", None) or b""
                last = output.decode(errors="replace").strip().splitlines()[-1:]
                pytest.skip(f"the real TAO could not be installed: {last[0] if last else error}")
            (folder / "ready").touch()
    return folder / "bin"


def _make(folder: Path) -> None:
    for name in ("env", "wheels", "tao", "bin", "stubs"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    _run(sys.executable, "-m", "venv", str(folder / "env"))
    python = folder / "env" / "bin" / "python"
    pip = (str(python), "-m", "pip", "--quiet", "--disable-pip-version-check")
    _run(*pip, "install", TORCH)
    _run(*pip, "install", "--no-deps", *ALONE)
    _run(*pip, "install", *NEEDED)
    _run(*pip, "install", "--no-deps", "--no-build-isolation", "fairscale==0.4.13")
    packages = (f"nvidia-tao-pytorch=={VERSION}", f"nvidia-tao-ds=={VERSION}")
    # Its wheels say they are for another Python; they are plain Python but for CUDA operators that are not used here.
    more = ("--no-deps", "--only-binary=:all:", "--python-version", "3.12")
    _run(*pip, "download", *more, "-d", str(folder / "wheels"), *packages)
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "tao")
    shutil.copy2(Path(__file__).with_name("real_tao_stubs") / "sitecustomize.py", folder / "stubs")
    _script(folder / "stubs" / "nvidia-smi", "echo 'GPU 0: none (a stand-in, so that TAO starts)'")
    for name, module in COMMANDS.items():
        code = f'import sys; from {module} import main; sys.argv[0] = "{name}"; main()'
        _script(
            folder / "bin" / name,
            f"export PATH='{folder}/env/bin:{folder}/stubs':\"$PATH\" PYTHONPATH='{folder}/stubs:{folder}/tao'\n"
            f"export OMP_NUM_THREADS=1 WANDB_MODE=offline\nexec '{python}' -c '{code}' \"$@\"",
        )


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_SEC)
