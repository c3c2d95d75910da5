"""The general prompts: no domain assumed."""

from __future__ import annotations

from tao_skill_bank.annotate.prompts.domain import Domain, build

STRUCTURED = True

DOMAIN = Domain(
    videos="recordings of real scenes by a camera",
    scope="people, vehicles, animals or machines that do something over time",
    out_of_scope="a still picture, a title card, a computer screen, a cartoon, or nothing that can be made out",
    actors="people, vehicles, animals, machines and moved objects",
    setting="the place, its layout, the light and weather, the camera's position and the objects that stay where "
    "they are",
    anomaly="an event that breaks the ordinary course: an accident, a fall, a fight, a failure, a hazard, a "
    "broken rule",
    normal="activity that goes on as one would expect in that place, without harm and without a broken rule",
    attention=(
        "who or what takes part, and how they look",
        "where things are in relation to each other",
        "what changes, when, and how fast",
        "contact between participants, and near contact",
        "what is the same at the end as at the start, and what is not",
    ),
    causes="inattention, obstruction, failure of equipment, misjudged distance or speed, intent",
    consequences="contact, damage, injury, a stop or detour of the others, an attempt to help",
    terms="Call things by plain names, and keep one name for one participant throughout.",
    questions="actions, order, place, cause, consequence and interaction",
)

PROMPT_TEMPLATES = build(DOMAIN)


def get_prompt(key: str, **values: object) -> str:
    """The prompt of `key` with its placeholders filled in; as it stands where no values are given."""
    return PROMPT_TEMPLATES[key].format(**values) if values else PROMPT_TEMPLATES[key]
