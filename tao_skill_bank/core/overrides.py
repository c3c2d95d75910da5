"""The one reader of TAO command lines: `-e SPEC.yaml`, Hydra's `key=value` overrides, `--cfg=job`.

The spec file is merged over the schema's defaults, the overrides over both. A key the schema does not know is
refused with the nearest known one; `???` marks a value that must be given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError, did_you_mean


def get(config: Any, dotted: str, default: Any = None) -> Any:
    """The value behind a dotted key, or `default` where any part of it is missing."""
    value = config
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def put(config: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a dotted key, making the mappings above it."""
    *above, last = dotted.split(".")
    for part in above:
        inner = config.get(part)
        if not isinstance(inner, dict):
            inner = config[part] = {}
        config = inner
    config[last] = value


REQUIRED = "???"
STRUCK = "***"
_SECRET_NAME = re.compile(r"(?i)keys?(?![a-z])|secret|passw|credential")
_SECRET_IN_ADDRESS = re.compile(r"://[^/\s@]*@|://\S*\?")

# `a.b=word`, `a.b=/path/to.file` and `a.b=12` mean the same to Hydra, whose parser takes as long to import as a small
# analysis takes to run. Whatever has an exponent, a quote, a bracket, a space or a special word goes to Hydra.
_KEY = re.compile(r"\+?[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_PLAIN_OVERRIDE = re.compile(
    r"(?P<key>[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*)="
    r"((?P<number>-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,17})?)|(?P<word>(\./|/)?[A-Za-z_][A-Za-z0-9_./-]*[A-Za-z0-9_]|[A-Za-z_/]))",
    re.ASCII,
)
_UNQUOTED = re.compile(r"[A-Za-z0-9_/.@%+-]+")
_HYDRA_WORDS = frozenset({"null", "true", "false", "nan", "inf"})


@dataclass(frozen=True)
class Schema:
    """What an action's configuration may hold.

    Attributes:
        defaults: Nested mapping of known keys to default values; `REQUIRED` must be given; a mapping marked by
            `open_keys` takes any keys.
        open_keys: Dotted names below which keys are free (`dataset.classify.input_map`).
        renamed: Old dotted name → new one; the old one is taken with a warning.
        text_keys: Keys, and those below them, whose values on a command line are texts as they stand, commas and
            brackets included, unless they are written as a list or mapping.
    """

    defaults: Mapping[str, Any]
    open_keys: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    text_keys: frozenset[str] = frozenset()

    def is_text(self, key: str) -> bool:
        """Whether a value of this dotted key is a text as it stands."""
        return any(key == k or key.startswith(f"{k}.") for k in self.text_keys)


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line.

    Attributes:
        config: The resolved, nested configuration (plain dict, lists and scalars).
        given: Dotted names set by the spec file or an override.
        spec_path: The file behind `-e`, or None.
        show_config: `--cfg=job` was given: print the configuration and stop.
    """

    config: dict[str, Any]
    given: frozenset[str]
    spec_path: Path | None
    show_config: bool
    warnings: tuple[str, ...]


def parse_command_line(args: Sequence[str], schema: Schema) -> CommandLine:
    """Read the arguments behind `<category> <action>`.

    Args:
        args: For example `["-e", "spec.yaml", "results_dir=/tmp/r", "min_recall=0.99"]`.
        schema: Known keys and defaults.

    Raises:
        InputError: An unreadable spec file, a malformed override, an unknown key, a required key left unset.
    """
    spec_path, overrides, show = split_arguments(args)
    config: dict[str, Any] = _copy(schema.defaults)
    given: set[str] = set()
    warnings: list[str] = []
    if spec_path is not None:
        _merge(config, load_yaml_mapping(spec_path), schema, str(spec_path), given, warnings)
    for text in overrides:
        where = f"override {shown_override(text)}"
        try:
            key, value = _text_override(text, schema) or parse_override(text)
        except InputError:
            # A misspelt key whose value only the right one takes: the key is the fault.
            name, equals, _ = text.partition("=")
            if equals and _KEY.fullmatch(name):
                _merge(_copy(schema.defaults), _nested(name.removeprefix("+"), None), schema, where, set(), [])
            raise
        _merge(config, _nested(key, value), schema, where, given, warnings)
    if not show:
        missing = [key for key, value in leaves(config) if value == REQUIRED]
        if missing:
            raise InputError(
                f"required value not set: {', '.join(missing)}",
                where=spec_path or "command line",
                fix=f"add {missing[0]}=VALUE",
            )
    return CommandLine(config, frozenset(given), spec_path, show, tuple(warnings))


def _nested(key: str, value: Any) -> dict[str, Any]:
    """A dotted key and its value as mappings."""
    *outer, last = key.split(".")
    found: dict[str, Any] = {last: value}
    for part in reversed(outer):
        found = {part: found}
    return found


def _text_override(text: str, schema: Schema) -> tuple[str, str] | None:
    """`labels=OK,NG|not OK` as it stands, for a key whose values are texts; None for any other."""
    key, equals, value = text.partition("=")
    key = key.removeprefix("+")
    if not equals or not schema.is_text(key) or value[:1] in ("[", "{"):
        return None
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return key, value[1:-1] if quoted else value


def shown_value(name: str, value: object) -> str:
    """A value as an error may show it: struck out where it is, or may hold, a key or a password."""
    text = value if isinstance(value, str) else repr(value)
    within = "{" in text and _SECRET_NAME.search(text)
    if _SECRET_NAME.search(name) or within or _SECRET_IN_ADDRESS.search(text):
        return STRUCK
    return repr(value)[:80]


def shown_override(text: str) -> str:
    """An override as an error may show it."""
    key, equals, value = text.partition("=")
    return repr(f"{key}={STRUCK}" if equals and shown_value(key, value) == STRUCK else text)


def config_yaml(config: Mapping[str, Any]) -> str:
    """A configuration as YAML, keys in schema order: what `--cfg=job` prints."""
    import yaml

    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, default_flow_style=False)


def parse_override(text: str) -> tuple[str, Any]:
    """One Hydra override `a.b=value` as (dotted key, value).

    Lists, mappings, quoting, numbers, booleans and null follow Hydra's grammar (`hydra-core` does the parsing).
    `+a=1` is taken like `a=1`; deletion and sweeps are refused, because an action runs one configuration.
    """
    plain_token = _PLAIN_OVERRIDE.fullmatch(text)
    if plain_token and (plain_token["word"] or "").lower() not in _HYDRA_WORDS:
        number = plain_token["number"]
        if number is None:
            return plain_token["key"], plain_token["word"]
        return plain_token["key"], float(number) if "." in number else int(number)
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Override, QuotedString
    from hydra.errors import HydraException

    def plain(value: Any) -> Any:
        if isinstance(value, QuotedString):
            return value.text
        if isinstance(value, list):
            return [plain(v) for v in value]
        if isinstance(value, dict):
            return {str(plain(k)): plain(v) for k, v in value.items()}
        return value

    if "=" not in text:
        raise InputError(
            f"not a key=value override: {shown_override(text)}", where="command line", fix="write key=value"
        )
    try:
        parsed: Override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        shown = shown_override(text)
        reason = str(error).splitlines()[0] if shown == repr(text) else "its value is no value of Hydra's grammar"
        raise InputError(
            f"cannot read override {shown}: {reason}",
            where="command line",
            fix="quote values with special characters: key='a(b)' inside the shell's quotes",
        ) from error
    if parsed.is_delete() or parsed.is_sweep_override() or parsed.package is not None:
        raise InputError(
            f"override {shown_override(text)} is a deletion or sweep", where="command line", fix="write key=value"
        )
    # value() loses no types: ints, floats, bools, None, lists and dicts come back as such.
    return parsed.key_or_group, plain(parsed._value)


def apply_overrides(config: dict[str, Any], texts: Sequence[str]) -> None:
    """Set what `key=value` overrides say, in order; the mappings above a key are made.

    Raises:
        InputError: A text that is no override, or whose key goes below a single value.
    """
    for text in texts:
        key, value = parse_override(text)
        *above, last = key.split(".")
        into = config
        for part in above:
            into = into.setdefault(part, {})
            if not isinstance(into, dict):
                what = f"override {shown_override(text)} goes below a single value"
                raise InputError(what, where="command line", fix="check the key")
        into[last] = value


def load_yaml_mapping(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping; anything else is refused with the place of the fault."""
    from tao_skill_bank.core.yamlio import read_yaml

    value = read_yaml(path, what="spec file")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError("must be a mapping of keys to values", where=path, fix="write key: value lines")
    return {str(k): v for k, v in value.items()}


def split_arguments(args: Sequence[str]) -> tuple[Path | None, list[str], bool]:
    """The spec file behind `-e`, the `key=value` overrides in order, and whether `--cfg=job` was given.

    Raises:
        InputError: An option that no action knows, or one without its value.
    """
    spec: Path | None = None
    overrides: list[str] = []
    show = False
    rest = iter(args)
    for arg in rest:
        if arg in ("-e", "--experiment_spec_file", "--experiment_spec"):
            value = next(rest, None)
            if value is None:
                raise InputError("-e needs a file", where="command line", fix="write -e SPEC.yaml")
            spec = Path(value)
        elif arg.startswith(("--experiment_spec_file=", "--experiment_spec=")):
            spec = Path(arg.split("=", 1)[1])
        elif arg in ("--cfg", "-c"):
            value = next(rest, None)
            if value != "job":
                raise InputError(f"--cfg takes 'job', not {value!r}", where="command line", fix="write --cfg=job")
            show = True
        elif arg.startswith("--cfg="):
            if arg != "--cfg=job":
                raise InputError(f"{arg!r} is not supported", where="command line", fix="write --cfg=job")
            show = True
        elif arg.startswith("-"):
            known = ["-e", "--cfg=job", "--help", "--traceback"]
            raise InputError(f"unknown option {arg!r}", where="command line", fix=did_you_mean(arg, known))
        else:
            overrides.append(arg)
    return spec, overrides, show


def _merge(
    config: dict[str, Any],
    new: Mapping[str, Any],
    schema: Schema,
    where: str,
    given: set[str],
    warnings: list[str],
) -> None:
    def walk(into: dict[str, Any], values: Mapping[str, Any], prefix: str) -> None:
        for raw, value in values.items():
            key = str(raw)
            dotted = f"{prefix}{key}"
            if dotted in schema.renamed:
                target = schema.renamed[dotted]
                warnings.append(f"{where}: {dotted} is now called {target}; taken as such")
                walk(config, _nested(target, value), "")
                continue
            free = any(dotted == k or dotted.startswith(k + ".") for k in schema.open_keys)
            if key not in into and not free:
                names = [k for k, _ in leaves(schema.defaults)] if not prefix else [f"{prefix}{k}" for k in into]
                raise InputError(f"unknown key {dotted!r}", where=where, fix=did_you_mean(dotted, names))
            given.add(dotted)
            current = into.get(key)
            if isinstance(current, dict) and isinstance(value, Mapping):
                if dotted in schema.open_keys:
                    current.update(_copy(value))
                else:
                    walk(current, value, f"{dotted}.")
            elif isinstance(current, dict) and current and value is not None and not free:
                raise InputError(f"{dotted} must be a mapping", where=where, fix=f"set keys below it: {dotted}.KEY")
            elif isinstance(value, Mapping) and not free and into.get(key) is not None:
                raise InputError(f"{dotted} is a single value, not a mapping", where=where, fix=f"{dotted}=VALUE")
            else:
                into[key] = _copy(value)

    walk(config, new, "")


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _copy(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(v) for v in value]
    return value


def leaves(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, value) of every value; an empty mapping is one."""
    out: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            out.extend(leaves(value, f"{prefix}{key}."))
        else:
            out.append((f"{prefix}{key}", value))
    return out


def setting(key: str, value: str | Path | float) -> str:
    """`key=value` as the grammar reads it back; a text with characters that mean something to it is quoted.

    Raises:
        InputError: The text ends in a backslash, which the grammar cannot quote.
    """
    text = str(value)
    return f"{key}={text if not isinstance(value, str | Path) or _UNQUOTED.fullmatch(text) else _quoted(text)}"


def settings_of(given: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Settings of a program as `key=value` texts: a mapping of dotted names to values, or the texts themselves.

    Raises:
        InputError: A single text instead of several, or a value that is no plain one.
    """
    if isinstance(given, str):
        raise InputError(f"one text: {given!r}", where="settings", fix="give a list of texts, or a mapping")
    return [f"{key}={_written(key, value)}" for key, value in given.items()] if isinstance(given, Mapping) else [*given]


def _written(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_written(key, item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_written(key, item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str | Path):
        return _quoted(str(value))
    if isinstance(value, (int, float)):
        return repr(value)
    raise InputError(f"cannot be a setting: {value!r}", where=key, fix="give text, a number, a list or a mapping")


def _quoted(text: str) -> str:
    if text.endswith("\\"):
        raise InputError("a path that ends in a backslash cannot be passed on", where=text, fix="rename the folder")
    return "'" + text.replace("'", "\\'") + "'"
