"""The template: copy this file, replace every [PLACEHOLDER: …] by words of your domain, point prompts_module at it.

A run refuses prompts in which a mark is left. A single prompt can be replaced after `build`:
`PROMPT_TEMPLATES["anomaly_mcq"] = "…"`, with the placeholders that `references/domain_adaptation.md` lists.
"""

from __future__ import annotations

from tao_skill_bank.annotate.prompts.domain import Domain, build

STRUCTURED = True

DOMAIN = Domain(
    videos="[PLACEHOLDER: the kind of videos, plural, such as: recordings of a packing line by a fixed camera "
    "above it]",
    scope="[PLACEHOLDER: what a video must show to be used]",
    out_of_scope="[PLACEHOLDER: what makes a video useless, such as: an empty line, a test picture]",
    actors="[PLACEHOLDER: who and what moves, such as: packers, cartons, the belt, the robot arm]",
    setting="[PLACEHOLDER: what stands still and must be described]",
    anomaly="[PLACEHOLDER: what counts as an anomaly, with the cases that matter most]",
    normal="[PLACEHOLDER: what counts as normal, with the cases that look alarming and are not]",
    attention=(
        "[PLACEHOLDER: first thing a caption must not leave out]",
        "[PLACEHOLDER: second thing]",
        "[PLACEHOLDER: third thing]",
    ),
    causes="[PLACEHOLDER: usual causes of an anomaly]",
    consequences="[PLACEHOLDER: usual consequences]",
    terms="[PLACEHOLDER: a sentence on the words to use, and the words to keep away from]",
    questions="[PLACEHOLDER: what the trained model is going to be asked about]",
)

PROMPT_TEMPLATES = build(DOMAIN)


def get_prompt(key: str, **values: object) -> str:
    """The prompt of `key` with its placeholders filled in; as it stands where no values are given."""
    return PROMPT_TEMPLATES[key].format(**values) if values else PROMPT_TEMPLATES[key]
