"""The keys of a configuration class as TAO merges a spec over them, and what of a spec it refuses there.

TAO refuses a key that the class does not have, and a value that OmegaConf does not take for the key's type. Ranges
and value lists are not looked at by that merge: they are in the facts for the rules that follow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from tao_skill_bank.core.errors import did_you_mean, nearest
from tao_skill_bank.core.overrides import Schema, get

WORKFLOW_KEYS = frozenset({"automl_policy", "automl_enabled", "automl", "workflow"})
SECTION = "section"
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off"})


@dataclass(frozen=True)
class Keys:
    """The key list of a configuration.

    Attributes:
        schema: Keys, defaults, open mappings: what `parse_command_line` takes.
        types: Dotted key → `str`, `int`, `float`, `bool`, `list[…]`, `map[…]`.
        nullable: Keys that may be null.
        mandatory: Keys their own action cannot do without.
        facts: Dotted key → all that is known of it, sections included.
        tree: Every key, nested; what stands below an open mapping is not listed.
    """

    schema: Schema
    types: Mapping[str, str]
    nullable: frozenset[str]
    mandatory: frozenset[str]
    facts: Mapping[str, Mapping[str, Any]]
    tree: Mapping[str, Any]

    @classmethod
    def of(cls, facts: Mapping[str, Mapping[str, Any]]) -> Self:
        """From the facts of a class."""
        defaults: dict[str, Any] = {}
        tree: dict[str, Any] = {}
        for dotted, fact in facts.items():
            section = fact["type"] == SECTION
            _put(tree, dotted, {} if section else None)
            _put(defaults, dotted, _own(fact["default"]) if "default" in fact else {} if section else None)
        return cls(
            schema=Schema(defaults, frozenset(k for k, f in facts.items() if f["type"].startswith("map["))),
            types={k: f["type"] for k, f in facts.items() if f["type"] != SECTION},
            nullable=frozenset(k for k, f in facts.items() if f.get("nullable")),
            mandatory=frozenset(k for k, f in facts.items() if f.get("mandatory")),
            facts=facts,
            tree=tree,
        )


def unknown_keys(config: Mapping[str, Any], keys: Keys) -> list[str]:
    """A line for every key that TAO does not know, with the nearest known one; and for sections in wrong places."""
    lines: list[str] = []

    def walk(values: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> None:
        for key, value in values.items():
            dotted = f"{prefix}{key}"
            kind = keys.types.get(dotted)
            if key not in known:
                lines.append(_unknown(dotted, known, prefix, keys))
            elif kind is None:
                if isinstance(value, Mapping):
                    walk(value, known[key], f"{dotted}.")
                elif value is not None or dotted not in keys.nullable:
                    lines.append(f"{dotted}: must be a mapping of keys (known: {', '.join(known[key])})")
            elif isinstance(value, Mapping) and not kind.startswith("map[") and kind != "any":
                lines.append(f"{dotted}: must be {kind}, not a mapping (set {dotted}: VALUE)")

    walk(config, keys.tree, "")
    return lines


def type_faults(config: Mapping[str, Any], keys: Keys) -> list[str]:
    """A line for every value that TAO's configuration cannot take: `train.num_epochs: must be int, not 'ten'`."""
    lines: list[str] = []
    for dotted, value in leaves(config, keys.schema.open_keys):
        expected = keys.types.get(dotted)
        if expected is None or (isinstance(value, str) and value.startswith("${")):
            continue
        if value is None:
            if dotted not in keys.nullable and dotted not in keys.mandatory and expected != "any":
                lines.append(f"{dotted}: must be {expected}, not null (remove the key to take the default)")
        elif not fits(value, expected):
            lines.append(f"{dotted}: must be {expected}, not {value!r}")
    return lines


def null_faults(config: Mapping[str, Any], keys: Keys) -> list[str]:
    """A line for every null where an action needs a value and TAO takes no null."""
    return [
        f"{key}: is null, and TAO takes no null for it (remove the key)"
        for key in sorted(keys.mandatory - keys.nullable)
        if get(config, key, "") is None
    ]


def merge_faults(config: Mapping[str, Any], keys: Keys) -> list[str]:
    """Everything for which TAO's merge refuses a spec before an action starts."""
    return [*unknown_keys(config, keys), *null_faults(config, keys), *type_faults(config, keys)]


def over_defaults(config: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """`config` over the defaults: what the action sees. Lists are replaced, mappings merged."""
    full: dict[str, Any] = _own(dict(keys.schema.defaults))

    def merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = _own(value)

    merge(full, config)
    return full


def _own(value: Any) -> Any:
    """A copy of what YAML gives: mappings, lists, and values that nothing changes."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    return [_own(item) for item in value] if isinstance(value, list) else value


def leaves(config: Mapping[str, Any], open_keys: frozenset[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every value; the mappings of `open_keys` are values."""
    for key, value in config.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and dotted not in open_keys:
            yield from leaves(value, open_keys, f"{dotted}.")
        else:
            yield dotted, value


def fits(value: Any, expected: str) -> bool:
    """Whether TAO's configuration takes `value` for a key of this type; numbers in quotes are taken as numbers."""
    if expected.startswith("list["):
        return isinstance(value, list) and all(fits(item, expected[5:-1]) for item in value)
    if expected.startswith("map["):
        return isinstance(value, Mapping) and all(fits(item, expected[4:-1]) for item in value.values())
    if expected == "any":
        return True
    if expected == SECTION:
        return isinstance(value, Mapping)
    if isinstance(value, (list, Mapping)):
        return False
    if expected == "str":
        return True
    if expected == "bool":
        word = str(value).lower()
        return isinstance(value, (bool, int)) or word in _WORDS or word.isdigit()
    if isinstance(value, bool):
        return False
    try:
        _ = int(value) if expected == "int" else float(value)
    except (ValueError, TypeError):
        return False
    return expected == "float" or not isinstance(value, float)


def _unknown(dotted: str, siblings: Mapping[str, Any], prefix: str, keys: Keys) -> str:
    leaf = dotted.rsplit(".", 1)[-1]
    if leaf in WORKFLOW_KEYS:
        return f"{dotted}: is a workflow argument, not a key of the spec (remove it; use --set {leaf}=off)"
    everywhere = [key for key in keys.types if key.rsplit(".", 1)[-1] == leaf]
    if everywhere:
        # The same name stands in several sections; this bank is about classification and training.
        everywhere.sort(key=lambda key: (".classify." not in key, not key.startswith("train.")))
        return f"{dotted}: unknown key (did you mean {' or '.join(everywhere[:2])}?)"
    near = nearest(leaf, siblings, limit=1)
    if near:
        return f"{dotted}: unknown key (did you mean {prefix}{near[0]}?)"
    return f"{dotted}: unknown key ({did_you_mean(leaf, siblings)})"


def _put(into: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for part in parents:
        if not isinstance(into.get(part), dict):
            return  # below a section that is null by default nothing has a default
        into = into[part]
    into[last] = value
