"""The prompts of a run: which module they come from, whether it can be used, and how material stands in them."""

from __future__ import annotations

import functools
import hashlib
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from tao_skill_bank.annotate import allow
from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError, did_you_mean
from tao_skill_bank.core.roots import own_files

_BOTH = (
    *("global_caption", "dense_caption", "chunk_caption", "description", "mcq", "bcq", "open_qa"),
    *("temporal_event_desc", "causal_linkage", "temporal_localization"),
)
KEYS = (
    *("video_filtering", "video_anomaly_classification", "highlight_timestamp_extraction", "highlight_chunk_caption"),
    *("scene_description", "event_summary"),
    *(f"{mode}_{name}" for mode in ("anomaly", "normal") for name in _BOTH),
)
_OWN = "tao_skill_bank.annotate.prompts."
_PEER = "nvidia_tao_ds.auto_label.video_reasoning_annotation."
ALIASES = {
    _PEER + "prompts": _OWN + "general",
    _PEER + "prompt_template": _OWN + "template",
    _PEER + "prompts_traffic": _OWN + "traffic",
    _PEER + "prompts_warehouse": _OWN + "warehouse",
}
_EXAMPLES = ("traffic", "warehouse")
"""Domains whose modules are the worked examples of the skill: what people copy is the very file that runs."""
SHORT_NAMES = {name: _OWN + name for name in ("general", "template", *_EXAMPLES)}
_MARK = "[PLACEHOLDER"
_SEPARATOR = re.compile(r"={5,}")
_WHERE = "video_reasoning_annotation.prompts_module"


class Prompts:
    """The 26 prompts of a run.

    Attributes:
        structured: Keys whose prompts ask for JSON, so that a schema may go with them.
        inherited: Keys that the module lacks and the general set provides.
    """

    def __init__(
        self, get: Mapping[str, Callable[..., str]], structured: frozenset[str], inherited: tuple[str, ...]
    ) -> None:
        self._get = get
        self.structured = structured
        self.inherited = inherited

    def text(self, key: str, **values: object) -> str:
        """A prompt with its placeholders filled in."""
        return self._get[key](key, **values)


def load_prompts(module_name: str, keys: Iterable[str] = KEYS) -> Prompts:
    """The prompts of a module (dotted name, `.py` file, or empty for the general set), tried out with every key.

    Raises:
        NotAllowedError: It is not the bank's own, and nobody has allowed it to run.
        InputError: It cannot be imported, lacks `PROMPT_TEMPLATES` or `get_prompt`, has none of the known keys or an
            unknown one, asks for a placeholder that does not exist, or still holds template marks.
    """
    from tao_skill_bank.annotate.prompts import general

    module = prompts_module(module_name) if module_name else general
    templates = getattr(module, "PROMPT_TEMPLATES", None)
    get = getattr(module, "get_prompt", None)
    if not isinstance(templates, Mapping) or not callable(get):
        missing = "PROMPT_TEMPLATES" if not isinstance(templates, Mapping) else "get_prompt"
        raise InputError(f"{module_name} has no {missing}", where=_WHERE, fix="start from the template module")
    unknown = sorted(str(key) for key in templates if key not in KEYS)
    if unknown:
        raise InputError(
            f"{module_name}: unknown prompt {unknown[0]!r}", where=_WHERE, fix=did_you_mean(unknown[0], KEYS)
        )
    if not templates:
        raise InputError(f"{module_name} has no prompt of the known keys", where=_WHERE, fix=f"define {KEYS[0]} …")
    own = {key for key in KEYS if key in templates}
    chosen = {key: get if key in own else general.get_prompt for key in KEYS}
    by_schema = own if getattr(module, "STRUCTURED", False) is True else set()
    inherited = tuple(key for key in KEYS if key not in own)
    prompts = Prompts(chosen, frozenset(by_schema | set(inherited)), inherited)
    for key in keys:
        _try_out(prompts, key, module_name)
    return prompts


def quoted(name: str, text: str) -> str:
    """Text of another model as data: between marks that it cannot contain, without separators of the answer format."""
    clean = "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
    clean = _SEPARATOR.sub("====", clean).replace("<<DATA", "< <DATA").replace("DATA>>", "DATA> >")
    mark = hashlib.sha256(f"{name}\0{clean}".encode()).hexdigest()[:8]
    return f"<<DATA {name} {mark}\n{clean or '(none)'}\nDATA {mark}>>"


def chunk_lines(chunk_captions: Iterable[Mapping[str, Any]]) -> str:
    """Captions of pieces, a paragraph each, with their times."""
    return "\n\n".join(
        f"[{_seconds(c.get('timestamp_start'))} s to {_seconds(c.get('timestamp_end'))} s] {c.get('caption', '')}"
        for c in chunk_captions
    )


def _seconds(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, (int, float)) else "?"


def is_own(module_name: str) -> bool:
    """Whether a name means one of the bank's own modules, which anybody may run."""
    resolved = ALIASES.get(module_name) or SHORT_NAMES.get(module_name) or module_name
    return not module_name or resolved in SHORT_NAMES.values()


def prompts_module(name: str) -> ModuleType:
    """The module of a name: one of the bank's own, or one that a person has allowed."""
    if not is_own(name):
        return allow.run(allow.find(name))
    own = ALIASES.get(name) or SHORT_NAMES.get(name) or name
    last = own.removeprefix(_OWN)
    return _example(last) if last in _EXAMPLES else importlib.import_module(own)


@functools.cache
def _example(domain: str) -> ModuleType:
    from tao_skill_bank.bank.home import bank_root

    skill = bank_root() / "skills" / "tao-generate-video-reasoning-annotations"
    path = skill / "references" / f"prompts_{domain}.py"
    with own_files():
        source = guard.read_text(path)
    module = ModuleType(_OWN + domain)
    module.__file__ = str(path)
    exec(compile(source, str(path), "exec"), vars(module))
    return module


SAMPLE_VALUES: dict[str, object] = {
    **dict.fromkeys(("global_caption", "dense_caption", "dense_section", "highlight_section"), "text"),
    **dict.fromkeys(("chunk_captions_str", "step_2_output"), "text"),
    **dict.fromkeys(("anomaly_time", "start_time", "end_time", "duration"), "1.0"),
    "chunk_duration": 5,
    "video_length": 10.0,
}


def values_of(key: str) -> tuple[str, ...]:
    """The placeholders that a prompt of `key` may use; the shipped ones use some of them."""
    kind = key.removeprefix("anomaly_").removeprefix("normal_")
    if kind == "chunk_caption":
        return ("chunk_duration",)
    if key == "highlight_timestamp_extraction":
        return ("global_caption", "dense_caption", "chunk_captions_str")
    if key == "highlight_chunk_caption":
        return ("anomaly_time", "start_time", "end_time", "duration")
    if kind == "description":
        return ("video_length", "global_caption", "dense_section", "chunk_captions_str", "highlight_section")
    if kind in ("global_caption", "dense_caption", "video_filtering", "video_anomaly_classification"):
        return ()
    return ("video_length", "global_caption", "dense_caption", "chunk_captions_str", "step_2_output")


def _try_out(prompts: Prompts, key: str, module_name: str) -> None:
    try:
        text = prompts.text(key, **{name: SAMPLE_VALUES[name] for name in values_of(key)})
    except Exception as error:
        known = ", ".join(values_of(key)) or "none"
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{module_name}: prompt {key!r} cannot be filled in: {reason}",
            where=_WHERE,
            fix=f"its placeholders: {known}",
        ) from None
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{module_name}: prompt {key!r} is empty", where=_WHERE, fix="write it, or leave the key out")
    if _MARK in text:
        raise InputError(f"{module_name}: prompt {key!r} still holds {_MARK}", where=_WHERE, fix="fill in every mark")
