"""Prompts for cameras in warehouses and on industrial sites: safety, operations, security."""

from __future__ import annotations

from tao_skill_bank.annotate.prompts.domain import Domain, build

STRUCTURED = True

DOMAIN = Domain(
    videos="recordings of warehouses, loading bays and industrial sites by fixed cameras",
    scope="an indoor or fenced work area with people, trucks, goods or machines at work",
    out_of_scope="an office, a shop floor for customers, a public road, an area in which nothing moves, or a view "
    "that is covered or too dark",
    actors="workers, forklifts, pallet trucks, automated vehicles, conveyors, lifts, pallets and loads",
    setting="aisles, racks and their load levels, doors and docks, walkways and their markings, barriers, light, and "
    "from where the camera looks",
    anomaly="contact between a truck and a person, rack or load, a near miss, a fall of a person or of goods, an "
    "unstable or spilled load, a person in a truck's path or in a closed zone, missing protective gear where it is "
    "asked for, smoke, fire, a blocked exit, or somebody taking or tampering with goods",
    normal="picking, stacking, loading, transport, inspection and cleaning as the site works every day, also in a "
    "hurry",
    attention=(
        "each person's task, clothing and protective gear as far as it can be seen",
        "each truck's direction, load, height of the forks, and distance to people",
        "walkways, crossings and closed zones, and who enters them",
        "how loads are stacked and secured, and when that changes",
        "signals between people, and whether they see each other",
    ),
    causes="a blocked view, a load too high or unsecured, a short cut through a truck's path, reversing without a "
    "guide, worn or damaged racks, haste",
    consequences="contact, falling goods, damaged racks, injury, work that stops, people who gather or clear the area",
    terms="Say forklift, pallet truck, rack, aisle and dock, tell workers apart by clothing or task (the worker in "
    "the yellow vest), and do not guess names, injuries or intent that cannot be seen.",
    questions="safe distances, the order of handling steps, the state of loads and racks, who is exposed to what, "
    "causes and consequences, and what a supervisor would have to know",
)

PROMPT_TEMPLATES = build(DOMAIN)


def get_prompt(key: str, **values: object) -> str:
    """The prompt of `key` with its placeholders filled in; as it stands where no values are given."""
    template = PROMPT_TEMPLATES[key]
    return template.format(**values) if values else template
