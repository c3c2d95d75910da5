"""What programs call: the loop, its runs and what goes with them. A path may be given as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tao_skill_bank.core.overrides import settings_of

if TYPE_CHECKING:
    from tao_skill_bank.actions.mining.neighbors import Mined
    from tao_skill_bank.data.changenet.lay_out import LaidOut
    from tao_skill_bank.loop.api import StatusView
    from tao_skill_bank.loop.request import PreFlight, Request
    from tao_skill_bank.loop.run import Observer
    from tao_skill_bank.reports.compare import Comparison
    from tao_skill_bank.reports.rca.analysis import Rca


@dataclass(frozen=True)
class Plan:
    """A run as it would be, checked: what a person approves by its digest. Printed, it is the Pre-Flight Summary.

    Attributes:
        request: What was asked for.
        summary: Every check, the data set, the settings with nothing left open.
    """

    request: Request
    summary: PreFlight

    @property
    def digest(self) -> str:
        """By what the plan is approved."""
        return self.summary.digest

    def __str__(self) -> str:
        return "\n".join(self.summary.lines())


def plan(
    workspace: str | Path | None = None,
    target: str | None = None,
    *,
    max_iterations: int | None = None,
    time_limit: str | None = None,
    platform: str | None = None,
    offline: bool = False,
    settings: Mapping[str, Any] | Sequence[str] = (),
    results_dir: str | Path | None = None,
    task: str | None = None,
) -> Plan:
    """Check everything and say what a run would do. Writes nothing.

    Args:
        workspace: The workspace folder.
        target: `FAR < 1% at recall=99%`, `recall >= 99.5% at FAR <= 1%`, `f1 >= 0.9`.
        max_iterations: At least 1; or None with a time limit.
        time_limit: `6h`, `90m`: turned into iterations by the estimate.
        platform: Where to run; by default this machine's CPU.
        offline: Download nothing; check first that all is there.
        settings: Any parameter, as a mapping of dotted names or as `key=value` texts.
        results_dir: The run folder, to resume a run; what is left None stays as it was.
        task: What the loop improves; by default `changenet`, or that of the run that is resumed.

    Raises:
        InputError: Something is missing or does not fit; one line a fault.
    """
    from tao_skill_bank.loop.request import Request
    from tao_skill_bank.runs import plan_run

    request = Request(
        workspace=_path(workspace),
        kpi_target=target,
        max_iterations=max_iterations,
        time_limit=time_limit,
        platform=platform,
        offline=offline,
        settings=tuple(settings_of(settings)),
        results_dir=_path(results_dir),
        task=task,
    )
    return Plan(request, plan_run(request))


def run(
    what: Plan | str | Path,
    *,
    approve: str | None = None,
    accept: Sequence[str] = (),
    detach: bool = False,
    once: bool = False,
    observer: Observer | None = None,
) -> StatusView:
    """Run a plan to its end, or resume a run from its folder; where it then stands.

    Args:
        what: The plan, or the folder of a run whose approval still holds.
        approve: The plan's digest: saying it is the approval, and it is recorded as one by flag. Nothing starts where
            the plan has changed since.
        accept: The words that the plan asks for beside the approval, where it asks for any.
        detach: Start it in the background and return.
        once: Run the next stage only.
        observer: Told of every stage.

    Raises:
        NeedsApprovalError: Not approved, or something else was.
        BusyError: Somebody works on the run.
        StageFailedError: A stage failed; running again resumes there.
        GateError: The loop stopped at a gate.
    """
    from tao_skill_bank import runs
    from tao_skill_bank.loop.request import Request

    planned = what if isinstance(what, Plan) else None
    request = planned.request if planned is not None else Request(results_dir=_path(what))  # type: ignore[arg-type]
    checked = None if planned is None else planned.summary
    folder = runs.open_run(request, approve=approve, how="flag", checked=checked, words=accept)
    if detach:
        runs.start_detached(folder, once=once)
    else:
        runs.run_loop(folder, observer, once=once, by="python")
    return runs.status(folder)


def status(run: str | Path, *, after: int = 0) -> StatusView:
    """Where a run stands, with its log lines behind sequence number `after`. Never waits.

    Raises:
        InputError: There is no run.
    """
    from tao_skill_bank import runs

    return runs.status(Path(run), after)


def stop(run: str | Path) -> bool:
    """Ask whoever works on a run to stop; what is committed stays. False if nobody works on it.

    Raises:
        InputError: There is no run.
    """
    from tao_skill_bank import runs

    return runs.stop(Path(run), by="python")


def report(run: str | Path) -> Path:
    """Write a run's report from disk; returns the page.

    Raises:
        InputError: There is no run.
    """
    from tao_skill_bank.loop.api import REPORT
    from tao_skill_bank.reports.renderers import render

    render(Path(run))
    return Path(run) / REPORT


def compare(*runs: str | Path, html: str | Path | None = None) -> Comparison:
    """Runs side by side: what differs in their plans, FAR per iteration, cost.

    Args:
        runs: Two run folders or more.
        html: Where to write a page of it.

    Raises:
        InputError: Fewer than two runs, or a folder without one.
    """
    from tao_skill_bank.reports.compare import compare_runs, write_page

    found = compare_runs([Path(folder) for folder in runs])
    if html is not None:
        write_page(found, Path(html))
    return found


def workspace(
    pictures: str | Path,
    goldens: str | Path,
    to: str | Path,
    *,
    lightings: Sequence[str] = (),
    board: str | None = None,
    shares: Sequence[float] | None = None,
    leave_out_incomplete: bool = False,
) -> LaidOut:
    """Lay out a workspace from a folder of pictures that holds a folder a label; as `tao-skills workspace`.

    Args:
        pictures: Captures by label: PASS (or ok, good), and one folder a defect.
        goldens: Folder of the goldens.
        to: The workspace; new or empty.
        lightings: How file names end, for several pictures a part.
        board: Regular expression that finds the board in a picture's path; without: its folder.
        shares: Of training, validation, KPI, acceptance and pool.
        leave_out_incomplete: Leave out parts that lack a picture, instead of refusing them.

    Raises:
        InputError: Pictures that make no workspace; nothing is left behind.
    """
    from tao_skill_bank.data.changenet.lay_out import SHARES, lay_out

    return lay_out(
        Path(pictures),
        Path(goldens),
        Path(to).absolute(),
        lightings=lightings,
        board=board,
        shares=SHARES if shares is None else shares,
        leave_out_incomplete=leave_out_incomplete,
    )


def demo_workspace(to: str | Path, *, seed: int = 7) -> Path:
    """Draw a workspace of synthetic boards to try things on; returns it.

    Raises:
        InputError: The folder is there and not empty.
    """
    from tao_skill_bank.demo import make_demo_workspace

    return make_demo_workspace(Path(to), seed)


def mine(
    gaps: str | Path,
    pool: str | Path,
    results_dir: str | Path,
    *,
    top_k: int = 5,
    min_similarity: float = 0.9,
    encoder: str = "auto",
    same_label: Literal["false", "within", "after"] = "false",
) -> Mined:
    """The images of a pool that look most like weak ones, in `mined.parquet`.

    Args:
        gaps: A `kpi_gaps.parquet`.
        pool: A parquet file with `filepath`.
        results_dir: Where the outputs go.
        top_k: Neighbours of each weak image.
        min_similarity: Least cosine that is kept.
        encoder: `auto`, `local`, `SigLIP` or `CLIP`.
        same_label: Look within the label of each weak image, or drop others afterwards.

    Raises:
        InputError: Tables that cannot be used, an encoder that is not there.
    """
    from tao_skill_bank.actions.mining.mine import mine_images

    return mine_images(
        Path(gaps),
        Path(pool),
        Path(results_dir),
        top_k=top_k,
        min_similarity=min_similarity,
        encoder=encoder,
        same_label=same_label,
    )


def rca(experiment: str | Path, *, output: str | Path | None = None, check_labels: bool = True, **options: Any) -> Rca:
    """Analyse the evaluation of a Visual ChangeNet experiment and write its report package.

    Args:
        experiment: The experiment's folder, with one `inference.csv` and one train YAML below it.
        output: The results folder, instead of a new one below the experiment.
        check_labels: Rank labels by their look-alikes (reads the images of the test set).
        options: As for `gaps.vcn_aoi`: `kpi_media_path`, `threshold`, `min_recall`, `top_k_per_label`; and
            `inference_dir`, `train_config`, `encoder`.

    Raises:
        InputError: Input that cannot be used; nothing is written.
    """
    from datetime import datetime

    from tao_skill_bank.reports.rca.analysis import make_rca

    paths: dict[str, Any] = {
        key: _path(options.pop(key, None)) for key in ("inference_dir", "train_config", "kpi_media_path")
    }
    now = datetime.now().astimezone()
    return make_rca(Path(experiment), now=now, output=_path(output), check_labels=check_labels, **paths, **options)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given).expanduser()
