"""`gap_analysis vcn_aoi …` and `gap_analysis vlm_bcq …`: parse, call the engine, print."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from tao_skill_bank.actions.console import Action, configured, run_category
from tao_skill_bank.actions.gap_analysis.config import (
    VCN_AOI_SCHEMA,
    VLM_BCQ_SCHEMA,
    VLM_COMPARE_SCHEMA,
    VcnAoiConfig,
    VlmBcqConfig,
    VlmCompareConfig,
)
from tao_skill_bank.core.asked import keys_text

_COMMON = "[-e SPEC.yaml] [--cfg=job]"
EXIT_NOT_JUDGED = 3


def main() -> None:
    """The console command."""
    sys.exit(run_category("gap_analysis", ACTIONS))


def _vcn_aoi(args: list[str]) -> int:
    config = configured("gap_analysis", args, VCN_AOI_SCHEMA, VcnAoiConfig)
    if config is None:
        return 0
    from tao_skill_bank.actions.gap_analysis.vcn_aoi import analyze_vcn_aoi

    print("\n".join(analyze_vcn_aoi(config).summary))
    return 0


def _vlm_bcq(args: list[str]) -> int:
    plain = [a for a in args if a != "--strict"]
    config = configured("gap_analysis", plain, VLM_BCQ_SCHEMA, VlmBcqConfig, strict="--strict" in args)
    if config is None:
        return 0
    from tao_skill_bank.actions.gap_analysis.vlm_bcq import analyze_vlm_bcq

    with _progress_bar() as progress:
        result = analyze_vlm_bcq(config, warn=_warn_line, progress=progress)
    if result.judged:
        print("\n".join(result.summary))
        return 0
    # Nothing was found because nothing could be judged: whoever reads the exit status must not take it for no gaps.
    print("gap_analysis: " + "\n".join(result.summary), file=sys.stderr)
    if result.files:
        print(f"results: {result.results_dir}", file=sys.stderr)
    return EXIT_NOT_JUDGED


def _vlm_compare(args: list[str]) -> int:
    config = configured("gap_analysis", args, VLM_COMPARE_SCHEMA, VlmCompareConfig)
    if config is None:
        return 0
    from tao_skill_bank.actions.gap_analysis.vlm_compare import compare_vlm

    print("\n".join(compare_vlm(config).summary))
    return 0


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[float], None]]:
    """A bar on a terminal's stderr, once the first block shows that there is something to wait for."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _warn_line(text: str) -> None:
    print(f"gap_analysis: warning: {text}", file=sys.stderr)


ACTIONS = {
    "vcn_aoi": Action(
        "Visual ChangeNet: best threshold, weakest samples of each label, one row an image.",
        f"{_COMMON} key=value …\n\n{keys_text(VcnAoiConfig)}",
        _vcn_aoi,
    ),
    "vlm_bcq": Action(
        "Yes/no answers of a video-language model: false positives and false negatives.",
        f"""{_COMMON} [--strict] key=value …

{keys_text(VlmBcqConfig)}

--strict: a sample without a single clear yes or no is an error instead of a warning.
Exit status 3: no sample could be judged.""",
        _vlm_bcq,
    ),
    "vlm_compare": Action(
        "Two evaluations of the same samples: what was fixed, what was broken, and whether it may be chance.",
        f"{_COMMON} key=value …\n\n{keys_text(VlmCompareConfig)}",
        _vlm_compare,
    ),
}
