"""Prompts for traffic cameras: fixed views of junctions, roads and motorways. Not for cameras inside a vehicle."""

from __future__ import annotations

from tao_skill_bank.annotate.prompts.domain import Domain, build

STRUCTURED = True

DOMAIN = Domain(
    videos="recordings of roads, junctions and motorways by fixed traffic cameras",
    scope="a public road with vehicles, cyclists or pedestrians, seen by a camera that does not ride along",
    out_of_scope="a view out of a moving vehicle, a car park without movement, a simulation, or a picture too dark or "
    "too blurred to tell vehicles apart",
    actors="cars, vans, lorries, buses, motorcycles, cyclists and pedestrians",
    setting="the type of road, the number and direction of lanes, markings, signals and signs, islands and crossings, "
    "weather, light, the state of the surface, and from where the camera looks",
    anomaly="a collision, a near miss that forces somebody to brake or swerve, a vehicle that runs a red signal, "
    "drives the wrong way, stops where traffic flows or leaves the road, a person on the carriageway, or a lost load",
    normal="traffic that flows, queues at signals, merges, turns and gives way as the rules ask, also when it is dense",
    attention=(
        "the kind and colour of each vehicle that matters, its lane and its direction (towards the camera, away, "
        "left, right)",
        "the state of the signals when somebody passes them, if it can be seen",
        "manoeuvres: lane change, turn, overtaking, braking, reversing, stopping",
        "who has the right of way and who takes it",
        "the point of contact or closest approach, and where everybody comes to rest",
    ),
    causes="a red signal passed, speed, too little distance, a lane change without looking, an obstructed view, a wet "
    "surface",
    consequences="contact, a spin or rollover, a blocked lane, queues, evasive moves, people leaving their vehicles",
    terms="Say vehicle, lane and junction, name vehicles by kind and colour (the white van), keep to one name for "
    "each, and do not guess speeds in numbers, number plates or who is to blame in law.",
    questions="right of way, the order of manoeuvres, signals, positions in lanes, causes of conflicts and their "
    "consequences",
)

PROMPT_TEMPLATES = build(DOMAIN)


def get_prompt(key: str, **values: object) -> str:
    """The prompt of `key` with its placeholders filled in; as it stands where no values are given."""
    template = PROMPT_TEMPLATES[key]
    return template.format(**values) if values else template
