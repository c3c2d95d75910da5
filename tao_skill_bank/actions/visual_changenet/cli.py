"""`visual_changenet train|inference|evaluate -e SPEC.yaml [key=value …]`: parse, call the engine, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.actions.console import Action, run_category
from tao_skill_bank.core.errors import InputError

if TYPE_CHECKING:
    from tao_skill_bank.actions.visual_changenet.options import Options
    from tao_skill_bank.data.changenet.spec_rules import Purpose


def main() -> None:
    """The console command."""
    sys.exit(run_category("visual_changenet", ACTIONS))


def _reading(purpose: Purpose, act: Callable[[Options], None]) -> Callable[[list[str]], int]:
    """An action on the spec that its arguments name; with `--cfg=job` the spec is only shown."""

    def run(args: list[str]) -> int:
        from tao_skill_bank.actions.visual_changenet.options import read_options
        from tao_skill_bank.core.overrides import config_yaml, split_arguments
        from tao_skill_bank.data.changenet.spec import load_spec
        from tao_skill_bank.data.changenet.spec_rules import with_defaults

        spec, overrides, show = split_arguments(args)
        if spec is None:
            raise InputError("no spec", where="command line", fix="name one: -e SPEC.yaml")
        if show:
            print(config_yaml(with_defaults(load_spec(Path(spec), overrides))), end="")
        else:
            act(read_options(spec, overrides, purpose))
        return 0

    return run


def _train(options: Options) -> None:
    from tao_skill_bank.actions.visual_changenet.train import train

    done = train(options)
    print(f"{done.rows} rows, {len(done.checkpoints)} checkpoints, {done.seconds:.1f} s: {done.folder}")


def _inference(options: Options) -> None:
    from tao_skill_bank.actions.visual_changenet.infer import infer

    done = infer(options)
    print(f"{done.rows} rows scored: {done.csv}")


def _evaluate(options: Options) -> None:
    import json

    from tao_skill_bank.actions.visual_changenet.infer import evaluate

    path, content = evaluate(options)
    print(json.dumps(content, indent=2))
    print(f"written: {path}", file=sys.stderr)


_KEYS = """-e SPEC.yaml [--cfg=job] [key=value …]

The spec is TAO's own. This is the bank's small network on this CPU, a stand-in to rehearse with: it takes from the
spec"""

ACTIONS = {
    "train": Action(
        "Train a small change classifier on this CPU, from a TAO spec.",
        f"""{_KEYS}

  results_dir                                  the files go to <results_dir>/train, which must be new
  dataset.classify.train_dataset               csv_path, images_dir
  dataset.classify.validation_dataset          csv_path, images_dir
  dataset.classify.image_ext, input_map        how image files are called
  dataset.classify.batch_size                  pairs a step, half of them defects
  train.num_epochs                             an epoch passes over the rows twice, in 25 steps at least
  train.checkpoint_interval, validation_interval
  train.classify.cls_weight                    loss weights of PASS and NO_PASS
  train.seed                                   initial weights, order, augmentation
  train.pretrained_model_path                  checkpoint to go on from

and names in its log the keys that it leaves aside. Images are resized to 64 x 64.""",
        _reading("train", _train),
    ),
    "inference": Action(
        "Score the rows of a CSV: inference.csv with siamese_score, the probability of NO_PASS.",
        f"""{_KEYS}

  inference.checkpoint                         a .pth file of `visual_changenet train` (required)
  inference.results_dir                        where inference.csv goes [<results_dir>/inference]
  dataset.classify.infer_dataset               csv_path, images_dir (required)
  dataset.classify.image_ext, input_map        how image files are called""",
        _reading("inference", _inference),
    ),
    "evaluate": Action(
        "Measure a checkpoint on a test set: rates at eval_margin, FAR at a recall of 100 % and 99 %.",
        f"""{_KEYS}

  evaluate.checkpoint                          a .pth file of `visual_changenet train` (required)
  evaluate.results_dir                         where evaluate.json goes [<results_dir>/evaluate]
  dataset.classify.test_dataset                csv_path, images_dir; without it infer_dataset is taken
  dataset.classify.image_ext, input_map        how image files are called
  model.classify.eval_margin                   the score above which a row counts as NO_PASS""",
        _reading("evaluate", _evaluate),
    ),
}
