"""Specs, tables, links and races drawn by lot: nothing of a tree outside the roots is read, quoted or written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
import yaml
from server_calls import call

from mcp_server.roots import BankServer
from mcp_server.server import build_server
from tao_skill_bank.actions.console import run_category
from tao_skill_bank.core import roots

CANARY = "CANARY-7f3a"
TRIALS, MANY = 60, 1000
_OLD = 1_000_000_000


def _actions(category: str) -> object:
    from importlib import import_module

    modules = {
        "gap_analysis": "tao_skill_bank.actions.gap_analysis.cli",
        "visual_changenet": "tao_skill_bank.actions.visual_changenet.cli",
        "embedding": "tao_skill_bank.actions.mining.embedding_cli",
        "tmm": "tao_skill_bank.actions.mining.tmm_cli",
    }
    return import_module(modules[category]).ACTIONS


class Outside:
    """A tree that nobody may touch; every file holds the canary, and a read of any byte shows in its times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "deep").mkdir(parents=True)
        row = {"video_id": f"{CANARY}.mp4", "question": f"{CANARY}?", "gt": "yes", "response": "no"}
        pairs = f"input_path,golden_path,label,object_name\n{CANARY}/,golden/,{CANARY},C0\n"
        made = {
            "p.json": json.dumps([row]),
            "rows.jsonl": json.dumps(row) + "\n",
            "pairs.csv": pairs,
            "spec.yaml": f"predictions_json: {CANARY}\nresults_dir: {folder}\n",
            "broken.yaml": f"{CANARY}: [\n",
            "loop_log.jsonl": f"{CANARY}\n",
            "deft_state.json": json.dumps({"format": CANARY}),
            "C0_L.png": CANARY,
            "deep/p.json": json.dumps([row]),
        }
        for name, text in made.items():
            (folder / name).write_text(text)
        frame = pd.DataFrame({"filepath": [f"{CANARY}.png"], "label": [CANARY], "embedding": [[0.5, 0.5]]})
        frame.to_parquet(folder / "t.parquet")
        self.files = [*made, "t.parquet", "nothing-there.json"]
        for path in self._all():
            os.utime(path, (_OLD, _OLD))
        self.kept = self._seen()

    def _all(self) -> list[Path]:
        return sorted(self.folder.rglob("*"))

    def _seen(self) -> dict[str, tuple[float, float, int]]:
        found = {str(p): p.lstat() for p in self._all() if p.is_file()}
        return {name: (s.st_atime, s.st_mtime, s.st_size) for name, s in found.items()}

    def touched(self) -> list[str]:
        """Files that were read, written, made or removed."""
        now = self._seen()
        return sorted(name for name in now.keys() | self.kept.keys() if now.get(name) != self.kept.get(name))


@dataclass
class Trial:
    """One attack: files inside the root that lead outside, and what a tool is asked to do with them."""

    rng: random.Random
    root: Path
    outside: Outside
    swaps: list[tuple[Path, Path]] = field(default_factory=list)

    def target(self) -> Path:
        return self.outside.folder / self.rng.choice(self.outside.files)

    def lead(self, target: Path, inside: str) -> str:
        """A path that leads to `target` in one of many ways."""
        place = self.root / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        way = self.rng.randrange(9)
        if way == 0:
            return str(target)
        if way == 1:
            return os.path.relpath(target, self.root)
        if way == 2:
            return f"{self.root}/../{target.parent.name}/{target.name}"
        if way == 3:
            return f"/proc/self/root{target}"
        if way == 4:
            return f"//{target}"
        if way == 5:
            folder = place.with_name(f"way{self.rng.randrange(10**9)}")
            folder.symlink_to(target.parent)
            return str(folder / target.name)
        if way == 6:
            first = place.with_name(f"first{self.rng.randrange(10**9)}")
            first.symlink_to(target)
            place.symlink_to(first)
            return str(place)
        if way == 7:
            good = place.with_name(f"good{self.rng.randrange(10**9)}{place.suffix}")
            good.write_text("[]" if place.suffix != ".csv" else "input_path,golden_path,label,object_name\n")
            self.swaps.append((place, target))
            place.write_bytes(good.read_bytes())
            return str(place)
        place.symlink_to(os.path.relpath(target, place.parent))
        return str(place)

    def spec(self) -> tuple[str, str, Path]:
        """(category, action, spec) of an action whose inputs lead outside."""
        lead = self.lead
        kind = self.rng.randrange(6)
        out = str(self.target().parent / f"made{self.rng.randrange(99)}") if self.rng.random() < 0.3 else "OUT"
        if kind == 0:
            chosen = ("gap_analysis", "vlm_bcq", {"predictions_json": lead(self.target(), "in/p.json")})
        elif kind == 1:
            values = {
                "inference_csv": lead(self.target(), "in/i.csv"),
                "kpi_media_path": str(self.root),
                "min_recall": 0.9,
            }
            chosen = ("gap_analysis", "vcn_aoi", values)
        elif kind == 2:
            csv, images = lead(self.target(), "in/pairs.csv"), lead(self.outside.folder, "in/images")
            sets = {"csv_path": csv, "images_dir": images}
            data = {"train_dataset": sets, "validation_dataset": sets, "image_ext": ".png", "num_input": 1}
            data |= {"input_map": {"L": 0}, "image_width": 32, "image_height": 32, "batch_size": 4, "num_classes": 2}
            model = {"backbone": {"type": "fan_tiny_8_p4_hybrid"}, "classify": {"difference_module": "learnable"}}
            train = {"classify": {"loss": "ce"}, "num_epochs": 1, **({} if out == "OUT" else {"results_dir": out})}
            values = {"task": "classify", "model": model, "dataset": {"classify": data}, "train": train}
            chosen = ("visual_changenet", "train", values)
        elif kind == 3:
            values = {"input_parquet": lead(self.target(), "in/t.parquet"), "output_parquet": f"{self.root}/e.parquet"}
            chosen = ("embedding", "image_embeddings", {**values, "model": "local"})
        elif kind == 4:
            # A cell of a table inside the roots names a picture outside.
            table = self.root / f"cells{self.rng.randrange(10**9)}.parquet"
            cell = lead(self.outside.folder / "C0_L.png", "in/cell.png")
            pd.DataFrame({"filepath": [cell], "label": ["PASS"]}).to_parquet(table)
            written = f"{out}/e.parquet" if out != "OUT" else f"{self.root}/e.parquet"
            values = {"input_parquet": str(table), "output_parquet": written, "model": "local"}
            chosen = ("embedding", "image_embeddings", values)
        else:
            one, other = lead(self.target(), "in/s.parquet"), lead(self.target(), "in/t.parquet")
            written = f"{out}/n.parquet" if out != "OUT" else f"{self.root}/n.parquet"
            chosen = (
                "tmm",
                "nearest_neighbors",
                {"source_parquet": one, "target_parquet": other, "output_parquet": written},
            )
        category, action, values = chosen
        path = self.root / f"spec{self.rng.randrange(10**9)}.yaml"
        path.write_text(yaml.safe_dump(values))
        return category, action, path


@contextlib.contextmanager
def swapping(pairs: list[tuple[Path, Path]]) -> Iterator[None]:
    """A thread that puts links in the place of files, and the files back, as fast as it can."""
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            for number, (place, target) in enumerate(pairs):
                aside, link = place.with_name(f".aside{number}"), place.with_name(f".link{number}")
                with contextlib.suppress(OSError):
                    os.rename(place, aside)
                    os.symlink(target, link)
                    os.rename(link, place)
                    os.rename(aside, place)

    thread = threading.Thread(target=swap, daemon=True)
    if pairs:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if pairs:
            thread.join()


def in_process(trial: Trial, out: Path) -> str:
    """The action's own code, held to the root as a job of the server is."""
    category, action, spec = trial.spec()
    said = io.StringIO()
    more = [] if category in ("embedding", "tmm") else [f"results_dir={out}"]
    with contextlib.ExitStack() as held:
        held.enter_context(swapping(trial.swaps))
        held.enter_context(roots.confined([trial.root]))
        held.enter_context(contextlib.redirect_stdout(said))
        held.enter_context(contextlib.redirect_stderr(said))
        run_category(category, _actions(category), [action, "-e", str(spec), *more])  # type: ignore[arg-type]
    return said.getvalue()


def log_stage(server: BankServer, trial: Trial, out: Path) -> str:
    """A run's own files lead outside."""
    names = ("loop_log.jsonl", "loop_log.jsonl.lock", "deft_state.json", "jobs")
    out.mkdir(parents=True, exist_ok=True)
    place = out / trial.rng.choice(names)
    target = trial.target() if trial.rng.random() < 0.5 else trial.outside.folder / "new-file"
    if trial.rng.random() < 0.4:
        place.write_text("")
        trial.swaps.append((place, target))
    else:
        place.symlink_to(target)
    arguments = {"iter_label": "baseline", "stage": "train", "status": "ok", "summary": "x", "duration_sec": 1}
    with swapping(trial.swaps):
        return call(server, "log_stage", {"results_dir": str(out), **arguments}).text


def status_of(server: BankServer, trial: Trial, out: Path) -> str:
    """A folder that is named leads outside, or holds a state that does."""
    tool = trial.rng.choice(["get_deft_status", "get_annotation_status", "render_report", "get_job_status"])
    named = trial.lead(trial.outside.folder, f"in/run{trial.rng.randrange(10**9)}")
    more = {"job": trial.rng.choice(["../x", "a", "deft_state"])} if tool == "get_job_status" else {}
    with swapping(trial.swaps):
        return call(server, tool, {"results_dir": named, **more}).text


def started(server: BankServer, trial: Trial, out: Path) -> str:
    """The real tool and a job of its own."""
    category, action, spec = trial.spec()
    with swapping(trial.swaps):
        asked = {"category": category, "action": action, "results_dir": str(out), "spec": str(spec)}
        answer = call(server, "start_action", asked)
        until = time.monotonic() + 120
        found, say = answer, {"results_dir": str(out), "job": answer.data.get("job")}
        while not found.error and say["job"] and time.monotonic() < until:
            found = call(server, "get_job_status", say)
            if found.data.get("state") not in ("pending", "running"):
                break
            time.sleep(0.05)
    return answer.text + found.text + json.dumps(found.data)


def trials(tmp_path: Path, number: int, seed: int, real_every: int) -> list[str]:
    """What went wrong in so many trials."""
    wrong: list[str] = []
    outside = Outside(tmp_path / "outside")
    calls: list[Callable[[BankServer, Trial, Path], str]] = [log_stage, status_of]
    for count in range(number):
        rng = random.Random(f"{seed} {count}")
        root = tmp_path / f"root{count}"
        root.mkdir()
        trial, out = Trial(rng, root, outside), root / "out"
        server = build_server([root])
        if count % real_every == real_every - 1:
            said = started(server, trial, out)
        elif count % 3 == 2:
            said = rng.choice(calls)(server, trial, out)
        else:
            said = in_process(trial, out)
        # What a link of the trial's own leads to is no file of the root.
        inside = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and p.resolve().is_relative_to(root)]
        quoted = [str(p) for p in inside if CANARY.encode() in p.read_bytes()]
        if CANARY in said or quoted:
            wrong.append(f"trial {count}: quoted in {quoted or said}")
        if touched := outside.touched():
            wrong.append(f"trial {count}: {touched} were read or changed; {said[-300:]}")
            outside.kept = outside._seen()
    return wrong


def test_nothing_outside_the_roots_is_read_quoted_or_written(tmp_path: Path) -> None:
    assert trials(tmp_path, TRIALS, seed=1, real_every=30) == []


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_nothing_outside_the_roots_is_read_quoted_or_written_in_a_thousand_trials(tmp_path: Path) -> None:
    assert trials(tmp_path, MANY, seed=int(os.environ.get("TAO_CANARY_SEED", "2")), real_every=20) == []
