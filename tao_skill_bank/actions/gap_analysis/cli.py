"""`gap_analysis vcn_aoi …` and `gap_analysis vlm_bcq …`: parse, call the engine, print."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from tao_skill_bank.actions.console import Action, configured, run_category

_COMMON = "[-e SPEC.yaml] [--cfg=job]"
EXIT_NOT_JUDGED = 3
_READING = """\
  videos_dir        what relative video_id values are resolved against
  format            auto, tao, cosmos, hallusion, lmms, batch, llava, pope, vlmevalkit, mme or table [auto]
  fields.ROLE       where video_id, question, response, gt, id or score lies: fields.response=choices[0].text;
                    fields.root=KEY: which list of an object holds the items
  truth             file of right answers, joined by id, else by line
  requests          the requests of a batch, joined by custom_id
  annotations_json  annotations whose ids the video_id values are
  answer_in         anywhere, after_think, answer_tag, boxed or last; several in turn: answer_tag,last [anywhere]
  labels            POSITIVE,NEGATIVE with | between alternatives, or en, de, fr, es, zh, ja, ko [yes,no]
  letters           auto, question (letters are choices of the question) or off [auto]
  unanswered        error, or skip: missing answers count as unparseable [error]
  repeats           first, or all: every response of an item is a sample [first]
  duplicates        keep, first, or error [keep]"""


def main() -> None:
    """The console command."""
    sys.exit(run_category("gap_analysis", ACTIONS))


def _vcn_aoi(args: list[str]) -> int:
    from tao_skill_bank.actions.gap_analysis.config import VCN_AOI_SCHEMA, VcnAoiConfig

    config = configured("gap_analysis", args, VCN_AOI_SCHEMA, VcnAoiConfig)
    if config is None:
        return 0
    from tao_skill_bank.actions.gap_analysis.vcn_aoi import analyze_vcn_aoi

    print("\n".join(analyze_vcn_aoi(config).summary))
    return 0


def _vlm_bcq(args: list[str]) -> int:
    from tao_skill_bank.actions.gap_analysis.config import VLM_BCQ_SCHEMA, VlmBcqConfig

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
    from tao_skill_bank.actions.gap_analysis.config import VLM_COMPARE_SCHEMA, VlmCompareConfig

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
        f"""{_COMMON} key=value …

keys:
  inference_results_dir  folder that holds inference.csv (required)
  train_config           train YAML with dataset.classify.input_map and image_ext (required)
  results_dir            where the outputs go (required)
  kpi_media_path         put before each row's input_path; without it input_path is absolute
  threshold              0 or more pins it; negative sweeps [-1.0]
  min_recall             NO_PASS recall the sweep keeps [1.0]
  top_k_per_label        weakest samples of each label; null: every misclassified one [50]""",
        _vcn_aoi,
    ),
    "vlm_bcq": Action(
        "Yes/no answers of a video-language model: false positives and false negatives.",
        f"""{_COMMON} [--strict] key=value …

keys:
  predictions_json  JSON in any packing, CSV, TSV, parquet, xlsx, or a folder; .gz and .zst are read as such (required)
  results_dir       where the outputs go (required)
{_READING}
  report            gaps, or always: the report is written where there are no gaps too [gaps]

--strict: a sample without a single clear yes or no is an error instead of a warning.
Exit status 3: no sample could be judged.""",
        _vlm_bcq,
    ),
    "vlm_compare": Action(
        "Two evaluations of the same samples: what was fixed, what was broken, and whether it may be chance.",
        f"""{_COMMON} key=value …

keys:
  a                 the evaluation before (required)
  b                 the evaluation after (required)
  results_dir       where the outputs go (required)
{_READING}""",
        _vlm_compare,
    ),
}
