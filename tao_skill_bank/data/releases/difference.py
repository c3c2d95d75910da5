"""What changed from one TAO release to another: commands, actions, keys, refusals, outputs, status fields, code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tao_skill_bank.data.releases.facts import Release

_FACT_WORDS = {
    "loss_checked": "visual_changenet: train.classify.loss is checked at",
    "margin_in_training": "visual_changenet: the margin of validation figures during training is",
}
_UNWEIGHTED = "visual_changenet: a frozen backbone with"


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: `command`, `action`, `key`, `value`, `behaviour`, `status`, `output`, `refusal` or `code`.
        what: What it is about: a command, an action, a key.
    """

    kind: str
    what: str
    text: str


def difference(first: Release, second: Release) -> list[Change]:
    """Everything that differs, the larger things first."""
    return [*_commands(first, second), *_keys(first, second), *_behaviours(first, second), *_codes(first, second)]


def unchanged(first: Release, second: Release) -> list[str]:
    """Actions whose code and keys are the same byte for byte, and kinds of annotation likewise."""
    found = [
        f"{command} {action}"
        for command, action, ours, theirs in _common(first, second)
        if ours.get("code") and ours["code"] == theirs.get("code")
    ]
    kinds, others = first.raw["annotation"], second.raw["annotation"]
    return [*found, *(f"auto_label: {kind}" for kind in kinds if kinds[kind] == others.get(kind))]


def _commands(first: Release, second: Release) -> Iterator[Change]:
    for release, other, verb in ((second, first, "added"), (first, second, "gone")):
        for command in release.commands:
            if command not in other.commands:
                actions = ", ".join(release.actions(command))
                yield Change("command", command, f"{verb}: command {command} ({actions})")
                continue
            for action in release.actions(command):
                if action not in other.actions(command):
                    yield Change("action", f"{command} {action}", f"{verb}: action {command} {action}")


def _keys(first: Release, second: Release) -> Iterator[Change]:
    done: set[tuple[str | None, str | None]] = set()
    for command, action, ours, theirs in _common(first, second):
        pair = (ours.get("schema"), theirs.get("schema"))
        if None in pair or pair in done:
            continue
        done.add(pair)
        old, new = first.schema(str(pair[0])), second.schema(str(pair[1]))
        if old is None or new is None:
            continue
        whole = all(first.commands[command]["actions"][a].get("schema") == pair[0] for a in first.actions(command))
        name = command if whole else f"{command} {action}"
        yield from _keys_of(name, old, new)


def _keys_of(name: str, old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> Iterator[Change]:
    for key, fact in new.items():
        if key not in old:
            default = f", default {fact['default']!r}" if "default" in fact else ""
            yield Change("key", key, f"added: {name} key {key} ({fact['type']}{default})")
    for key, fact in old.items():
        if key not in new:
            yield Change("key", key, f"gone: {name} key {key}")
            continue
        for part in ("type", "default", "nullable", "mandatory", "min", "max"):
            if fact.get(part) != new[key].get(part):
                text = f"changed: {name} key {key}: {part} {fact.get(part)!r} → {new[key].get(part)!r}"
                yield Change("key", key, text)
        before, after = fact.get("options", []), new[key].get("options", [])
        for value in after:
            if value not in before:
                yield Change("value", key, f"added: {name} {key} may be {value}")
        for value in before:
            if value not in after:
                yield Change("value", key, f"gone: {name} {key} may be {value}")


def _behaviours(first: Release, second: Release) -> Iterator[Change]:
    old, new = first.classifier, second.classifier
    for fact, words in _FACT_WORDS.items():
        if old[fact] != new[fact]:
            yield Change("behaviour", fact, f"changed: {words} {old[fact]} → {new[fact]}")
    cases = (("null", "a path of null"), ("empty", "an empty path"), ("dinov3", "a DINOv3 and an empty path"))
    for case, words in cases:
        before, after = old["frozen_without_weights"][case], new["frozen_without_weights"][case]
        if before != after:
            yield Change("behaviour", f"frozen {case}", f"changed: {_UNWEIGHTED} {words}: {before} → {after}")
    for table, names in new["backbones"].items():
        for name in names:
            if name not in old["backbones"].get(table, ()):
                yield Change("value", "model.backbone.type", f"added: visual_changenet backbone {name} ({table})")
    for task, fields in new["status"].items():
        for field in fields:
            if field not in old["status"][task]:
                yield Change("status", field, f"added: visual_changenet {task} status.json field {field}")
        for field in old["status"][task]:
            if field not in fields:
                yield Change("status", field, f"gone: visual_changenet {task} status.json field {field}")


def _codes(first: Release, second: Release) -> Iterator[Change]:
    yield from _refusals("visual_changenet", first.classifier["refusals"], second.classifier["refusals"])
    for command, action, ours, theirs in _common(first, second):
        name = f"{command} {action}"
        for file in theirs.get("outputs", ()):
            if file not in ours.get("outputs", ()):
                yield Change("output", name, f"added: {name} writes or reads {file}")
        yield from _refusals(name, ours.get("refusals", []), theirs.get("refusals", []))
        if ours.get("code") != theirs.get("code"):
            yield Change("code", name, f"changed: {name} code")
    kinds, others = first.raw["annotation"], second.raw["annotation"]
    for kind in sorted({*kinds, *others}):
        if kinds.get(kind) != others.get(kind):
            yield Change("code", f"auto_label {kind}", f"changed: auto_label {kind} code")


def _refusals(name: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[Change]:
    def marks(refusals: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {(r["file"], r["function"], r["error"], r["condition"]): r for r in refusals}

    before, after = marks(old), marks(new)
    for verb, there, missing in (("added", after, before), ("gone", before, after)):
        for mark, refusal in there.items():
            if mark not in missing:
                looked = ", ".join(refusal["reads"]) or "nothing"
                values = f" (values {', '.join(refusal['values'])})" if refusal["values"] else ""
                where = f"{refusal['file']} {refusal['function']}"
                text = f"{verb}: {name} refusal {refusal['error']} in {where}, looks at {looked}{values}"
                yield Change("refusal", name, text)


def _common(first: Release, second: Release) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    for command, facts in first.commands.items():
        theirs = second.commands.get(command, {}).get("actions", {})
        for action, ours in facts["actions"].items():
            if action in theirs:
                yield command, action, ours, theirs[action]
