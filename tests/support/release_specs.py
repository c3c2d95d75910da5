"""Random specs for the commands of a release, and what the real package's own merge says of them.

The specs are drawn from the facts: valid values of each key, each value list in turn, each key wrong in turn. The real
verdicts come from the unpacked wheel: its configuration classes, merged by OmegaConf as Hydra merges a spec file.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tao_skill_bank.data.releases.facts import release_named
from tao_skill_bank.data.releases.keys import Keys, merge_faults

COMMANDS = ("visual_changenet", "gap_analysis", "embedding", "tmm")
ODD: tuple[Any, ...] = (
    7,
    -1,
    0.5,
    3.0,
    "word",
    "1e-5",
    "12",
    "yes",
    "",
    True,
    None,
    [],
    [1],
    ["a"],
    [0.5],
    {"a": 1},
    {},
)
UNNAMED = "?"
"""The real merge refuses without naming a key."""
Case = dict[str, Any]

_REAL = r"""
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
from io import StringIO
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
for line in sys.stdin:
    case = json.loads(line)
    module, _, name = case["schema"].partition(":")
    schema = OmegaConf.structured(getattr(importlib.import_module(module), name))
    try:
        OmegaConf.merge(schema, OmegaConf.load(StringIO(case["text"])))
        print(json.dumps(None))
    except OmegaConfBaseException as error:
        print(json.dumps(str(error.full_key or error.key or "?")))
"""


def cases(release: str, count: int, seed: int = 1) -> list[Case]:
    """`count` specs over the release's commands: command, action, schema, text."""
    draw = random.Random(f"{release} {seed}")
    facts = release_named(release)
    pairs = [(c, a) for c in COMMANDS for a in facts.actions(c) if facts.keys(c, a)]
    # The classifier has most of the keys: half of the specs are its.
    todo = [*([("visual_changenet", "train")] * len(pairs)), *pairs]
    found: list[Case] = []
    while len(found) < count:
        command, action = todo[len(found) % len(todo)]
        keys = facts.keys(command, action)
        assert keys is not None
        spec = _valid(keys, draw)
        if draw.random() < 0.7:
            _spoil(spec, keys, draw)
        schema = facts.commands[command]["actions"][action]["schema"]
        text = yaml.safe_dump(spec, sort_keys=False)
        found.append({"command": command, "action": action, "schema": schema, "text": text})
    return found


def our_verdict(release: str, case: Case) -> list[str]:
    """The keys that our check refuses; empty for a spec that it takes."""
    keys = release_named(release).keys(case["command"], case["action"])
    assert keys is not None
    config = yaml.safe_load(case["text"]) or {}
    return [fault.partition(":")[0] for fault in merge_faults(config, keys)]


def real_verdicts(root: Path, found: list[Case]) -> list[str | None]:
    """The key that the real merge stops at, None where it takes the spec."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _REAL, str(root)],
        input="\n".join(json.dumps(c) for c in found) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def disagreement(ours: list[str], real: str | None) -> str | None:
    """Why the two do not say the same; None where they do."""
    if real is None:
        return f"ours refuses {ours[0]}, the real one takes it" if ours else None
    if not ours:
        return f"the real one refuses {real}, ours takes it"
    if real == UNNAMED:
        return None
    plain = real.split("[")[0]
    same = any(key == plain or plain.startswith(f"{key}.") for key in ours)
    return None if same else f"the real one refuses {real}, ours {', '.join(ours)}"


def _valid(keys: Keys, draw: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for key in draw.sample(sorted(keys.types), k=min(len(keys.types), draw.randint(1, 8))):
        fact = keys.facts[key]
        _put(spec, key, draw.choice(fact["options"]) if fact.get("options") else _value(fact, draw))
    return spec


def _value(fact: Any, draw: random.Random) -> Any:
    kind = fact["type"]
    if kind.startswith("list["):
        return [_value({"type": kind[5:-1]}, draw) for _ in range(draw.randint(0, 3))]
    if kind.startswith("map["):
        return {name: _value({"type": kind[4:-1]}, draw) for name in draw.sample("abc", draw.randint(0, 2))}
    low, high = fact.get("min", 0), min(fact.get("max", 9), 1 << 20)
    ready = {
        "int": draw.randint(int(low), max(int(low), int(high))),
        "float": draw.uniform(low, max(low, high)),
        "bool": draw.random() < 0.5,
        "section": {},
    }
    return ready.get(kind, draw.choice(["a", "b/c.pth", "12"]))


def _spoil(spec: dict[str, Any], keys: Keys, draw: random.Random) -> None:
    key = draw.choice(sorted(keys.facts))
    how = draw.randrange(4)
    if how == 0:
        parent = key.rpartition(".")[0]
        _put(spec, f"{parent}.{key.rpartition('.')[2]}x".lstrip("."), 1)
    elif how == 1 and keys.facts[key].get("options"):
        _put(spec, key, "no_such_value")
    else:
        _put(spec, key, draw.choice(ODD))


def _put(spec: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for part in parents:
        if not isinstance(spec.get(part), dict):
            spec[part] = {}
        spec = spec[part]
    spec[last] = value
