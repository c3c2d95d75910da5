"""Pre-flight: every check that can be made before anything is changed, and the summary a person approves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputErrors
from tao_skill_bank.core.redaction import redact
from tao_skill_bank.core.text import plural
from tao_skill_bank.data.bcq import leakage
from tao_skill_bank.data.bcq.answers import join, read_rows
from tao_skill_bank.data.bcq.records import MOST_SHOWN, RecordSet, duplicates, name_of, walked_videos
from tao_skill_bank.data.corrections import Change
from tao_skill_bank.loop.checks import Check, Checks, platform_checks, refuse_faults, workspace_check
from tao_skill_bank.loop.request import OwnWord, PreFlight, ResolvedPlan, Split
from tao_skill_bank.loop.sizes import size_check
from tao_skill_bank.platforms import platform_class, platform_named
from tao_skill_bank.platforms.container import COSMOS_EMBED
from tao_skill_bank.tasks.label_checks import Named, label_checks
from tao_skill_bank.tasks.vlm_bcq import specs
from tao_skill_bank.tasks.vlm_bcq.config import AnnotateConfig, EndpointConfig, EvaluateConfig, SecondConfig, VlmConfig
from tao_skill_bank.tasks.vlm_bcq.embedding import Encoder
from tao_skill_bank.tasks.vlm_bcq.labels import CALLED, applied
from tao_skill_bank.tasks.vlm_bcq.metric import ACCURACY, FN_RATE, FP_RATE, GRAMMAR
from tao_skill_bank.tasks.vlm_bcq.pool import rows_of_key
from tao_skill_bank.tasks.vlm_bcq.workspace import SETS, as_filed, read

_FREE_BYTES_NEEDED = 1 << 30
_NAMED = Named(files="the annotations", file="its annotation", look="video or question")
_NAMES = {"kpi": "KPI set", "acceptance": "acceptance set", "base": "base set", "val": "validation set", "pool": "pool"}
_WHO = {
    "standin": "the bank's own small stand-in, a rehearsal: its figures are not a VLM's",
    "cosmos_rl": "cosmos-rl in its container",
    "endpoint": "a served model",
    "file": "evaluations that exist",
    "external": "somebody else: the run stops with data, spec and command line",
}


def pre_flight(plan: ResolvedPlan) -> PreFlight:
    """Run every check of a plan. Reads only.

    Raises:
        InputErrors: What was found, one line a fault; 20 are shown.
    """
    config: VlmConfig = plan.config
    checks = Checks(summed=False)
    check = checks.make
    sets: dict[str, RecordSet] = {}
    words: list[OwnWord] = []
    check(lambda: workspace_check(config.workspace))
    check(lambda: _target(plan))
    for name in SETS:
        check(lambda name=name: _set(config, name, sets))  # type: ignore[misc]
    if not checks.faults:
        check(lambda: _corrections(config, words))
    # Sets that could be read are held against one another even where another has faults: all are told in one pass.
    if "kpi" in sets or "acceptance" in sets:
        check(lambda: _leakage(config, sets))
    if "kpi" in sets:
        check(lambda: _predictions(config, sets))
    if not checks.faults:
        check(lambda: _alike(config, sets))
        check(lambda: _duplicates(sets))
        check(lambda: _sizes(plan, sets))
        check(lambda: _routable(config, sets))
    check(lambda: _who(config))
    check(lambda: _teacher(config))
    check(lambda: _train(config))
    check(lambda: _evaluate_spec(config))
    check(lambda: _encoder(config, sets))
    check(lambda: _platform(config))
    check(lambda: _disk(config))
    refuse_faults(checks.faults, config.workspace, MOST_SHOWN)
    splits = [Split(name=_NAMES[n], csv=str(s.path), rows=len(s), labels=s.answers) for n, s in sets.items()]
    return PreFlight.of(plan, checks.done, splits, facts=_facts(config), words=words)


def _facts(config: VlmConfig) -> list[tuple[str, str]]:
    """What the task's own settings come to, for the summary."""
    budget = config.mining.budget or "2 a target"
    asked, teacher = config.evaluate, config.annotate
    answers = f"{asked.by}: {_WHO[asked.by]}"
    if asked.by == "endpoint":
        answers += f", {_server(asked.endpoint, asked.endpoint)}; {_limits(asked)}"
    annotation = "off"
    if teacher.on:
        annotation = f"on: {_server(teacher, teacher)}; {_limits(teacher)}"
        if teacher.second.base_url:
            annotation += f"; then {_server(teacher.second, teacher)}"
    return [
        ("answers", answers),
        ("training", f"{config.train.by}: {_WHO[config.train.by]}"),
        ("mining", f"{config.mining.strategy}, {config.mining.encoder}, at most {budget} rows an iteration"),
        ("annotation", annotation),
        ("specs", f"{config.train_spec or 'packaged train.toml'}, {config.evaluate_spec or 'packaged evaluate.toml'}"),
    ]


def _server(of: EndpointConfig | AnnotateConfig | SecondConfig, first: EndpointConfig | AnnotateConfig) -> str:
    """Whom videos and the key go to."""
    key = f"with ${of.api_key_env}" if of.api_key_env else "without a key"
    return redact(f"{of.model_name or first.model_name} at {of.base_url} {key}")


def _limits(of: EvaluateConfig | AnnotateConfig) -> str:
    calls = "any number of calls" if of.max_calls is None else f"at most {of.max_calls} calls"
    return calls if of.max_cost is None else f"{calls}, {of.max_cost:g} USD"


def _corrections(config: VlmConfig, words: list[OwnWord]) -> list[Check]:
    """The checks of a plan's corrections; `words` gets the one that those of the measured sets need."""

    def changes() -> dict[str, list[Change]]:
        held = {called: as_filed(config, name) for name, called in CALLED.items()}
        return {called: applied(config, of).changes for called, of in held.items() if of is not None}

    found, asked = label_checks(config, _NAMED, changes)
    words.extend(asked)
    return found


def _target(plan: ResolvedPlan) -> Check:
    config: VlmConfig = plan.config
    target = GRAMMAR.parse(plan.kpi_target)
    by = config.evaluate.by
    scored = by in ("standin", "file") or (by == "endpoint" and config.evaluate.endpoint.logprobs)
    if target.constraints and not scored:
        raise BankError(
            f"{config.evaluate.by} gives no scores, and {plan.kpi_target!r} needs one of every answer",
            where="kpi_target",
            fix="leave 'at' away, or evaluate through an endpoint with logprobs",
        )
    return Check(name="target", status="ok", text=plan.kpi_target)


def _set(config: VlmConfig, name: str, sets: dict[str, RecordSet]) -> Check:
    called = _NAMES[name]
    found = read(config, name)
    if found is None:
        return Check(name=called, status="skip", text="not in the workspace")
    sets[name] = found
    root = name_of(found.root, Path(config.workspace)) if found.root != Path(config.workspace) else "the workspace"
    text = f"{len(found)} rows of {plural(len(found.keys), 'question')}, every video there below {root}"
    if found.dropped:
        left = "; ".join(f"{count} {why}" for why, count in found.dropped.items())
        return Check(name=called, status="warn", text=f"{text}; left out: {left}")
    return Check(name=called, status="ok", text=text)


def _sizes(plan: ResolvedPlan, sets: dict[str, RecordSet]) -> Check:
    counts = {}
    for name in ("kpi", "acceptance"):
        if name in sets:
            answers = sets[name].answers
            rows = {FP_RATE.of: answers["No"], FN_RATE.of: answers["Yes"], ACCURACY.of: len(sets[name])}
            counts[_NAMES[name]] = rows
    return size_check(GRAMMAR.parse(plan.kpi_target), counts)


def _leakage(config: VlmConfig, sets: dict[str, RecordSet]) -> Check:
    evaluation = [sets[n] for n in ("kpi", "acceptance") if n in sets]
    training = [sets[n] for n in ("base", "val", "pool") if n in sets]
    found = leakage.leaks(training, evaluation)
    dropped = [leak for leak in found if leak.side == "pool"] if config.leakage.drop_pool else []
    stopping = [leak for leak in found if leak not in dropped]
    if stopping:
        raise InputErrors(
            f"{plural(len(stopping), 'row')} stand on both sides",
            [leak.line for leak in stopping],
            where=config.workspace,
            fix="take them out, or leakage.drop_pool=true for the pool's",
        )
    rows = sum(map(len, training))
    if dropped:
        return Check(
            name="leakage", status="warn", text=f"{plural(len(dropped), 'pool row')} left out, first: {dropped[0].line}"
        )
    text = (
        f"{rows} training-side rows against {sum(map(len, evaluation))} evaluation rows, by path, bytes, looks, group"
    )
    return Check(name="leakage", status="ok", text=text)


def _alike(config: VlmConfig, sets: dict[str, RecordSet]) -> Check:
    """Videos of both sides that look nearly the same: shown, for a person to judge; no copy stops here."""
    shown = [r for n in ("kpi", "acceptance") if n in sets for r in sets[n].records]
    seen = leakage.Seen(sets[n] for n in ("kpi", "acceptance") if n in sets)
    known = [(n, r) for n in ("base", "val", "pool") if n in sets for r in sets[n].records]
    rows = list({r.path: (n, r) for n, r in reversed(known) if seen.leak(n, r) is None}.values())[::-1]
    others = list({r.path: r for r in reversed(shown)}.values())[::-1]
    if not rows or not others:
        return Check(name="look-alikes", status="skip", text="nothing to compare")
    frames = config.model_copy(update={"mining": config.mining.model_copy(update={"encoder": "frames"})})
    encoder = Encoder(frames)
    found = leakage.alike(encoder.videos([r.path for _, r in rows]), encoder.videos([r.path for r in others]))
    if not found:
        text = (
            f"none of {plural(len(rows), 'training-side video')} is at cosine {leakage.ALIKE} or more to one of the "
            f"evaluation's {len(others)}"
        )
        return Check(name="look-alikes", status="ok", text=text)
    (name, row), other, cosine = rows[found[0][0]], others[found[0][1]], found[0][2]
    side = next(n for n in ("kpi", "acceptance") if n in sets and other in sets[n].records)
    text = (
        f"{plural(len(found), 'training-side video')} at cosine {leakage.ALIKE} or more to one of the evaluation's, "
        f"first {name} row {row.row} ~ {side} row {other.row} ({cosine:.4f}): look at them"
    )
    return Check(name="look-alikes", status="warn", text=text)


def _duplicates(sets: dict[str, RecordSet]) -> Check:
    found = [(name, pair) for name, held in sets.items() for pair in duplicates(held.records)]
    if not found:
        rows = sum(map(len, sets.values()))
        text = f"no set asks a question twice of one video, in {plural(rows, 'row')} of {plural(len(sets), 'set')}"
        return Check(name="duplicates", status="ok", text=text)
    name, (first, again) = found[0]
    text = f"{plural(len(found), 'row')} ask again, first: {name} rows {first.row} and {again.row}"
    return Check(name="duplicates", status="warn", text=text)


def _routable(config: VlmConfig, sets: dict[str, RecordSet]) -> Check:
    """Every question may turn out weak: who can give more of it?"""
    rows = sets["pool"].records if "pool" in sets else ()
    can_ask = config.annotate.on and config.pool_videos is not None
    keys = sets["kpi"].keys
    lacking = [key for key in keys if not {rows[place].gt for place in rows_of_key(rows, key)} >= {"yes", "no"}]
    lost = [key for key in lacking if not can_ask and key not in config.routing.accept_dropped]
    videos = walked_videos(Path(config.pool_videos)) if config.pool_videos else []
    unlabelled = f"; {plural(len(videos), 'unlabelled video')}" if videos else ""
    if lost:
        text = f"the pool has not both answers of {lost[0]!r} ({len(lost)} in all): the loop will stop if it is weak"
        return Check(name="weak questions", status="warn", text=text + unlabelled)
    text = f"the pool has both answers of {len(keys) - len(lacking)} of {plural(len(keys), 'question')}"
    if lacking:
        others = "its teacher is asked" if can_ask else "nothing new, as routing.accept_dropped allows"
        text += f"; for the others, first {lacking[0]!r}: {others}"
    return Check(name="weak questions", status="ok", text=text + unlabelled)


def _predictions(config: VlmConfig, sets: dict[str, RecordSet]) -> Check:
    files = dict(config.evaluation_files())
    if config.predictions is not None:
        files.setdefault("baseline", Path(config.predictions))
    if not files:
        return Check(name="predictions", status="skip", text="none imported")
    for label, path in files.items():
        if not guard.is_file(path):
            raise BankError("no such file", where=path, fix=f"put it there: evaluate.predictions.{label}")
        held = sets["acceptance"] if label.startswith("acceptance") and "acceptance" in sets else sets["kpi"]
        join(held.records, read_rows(path), path, held.out)
    return Check(name="predictions", status="ok", text=f"{', '.join(files)}: every annotation answered once")


def _who(config: VlmConfig) -> Check:
    by = config.evaluate.by
    if by == "cosmos_rl" and config.predictions is None and config.model is None:
        raise BankError("model/base is missing", where=config.workspace, fix="put the Hugging Face folder there")
    inside = Path("/workspace")
    if by == "cosmos_rl" and inside in (Path(config.workspace), *Path(config.workspace).parents):
        what = "the workspace lies at or below /workspace, and mounted there it would hide the image's own package"
        raise BankError(what, where=config.workspace, fix="move the workspace")
    if by == "cosmos_rl" and config.model is not None:
        from tao_skill_bank.tasks.vlm_bcq.training import refuse_unsound

        refuse_unsound(Path(config.model))
    if config.train.by == "standin" and config.evaluate.by != "standin":
        raise BankError("the stand-in trains for itself only", where="train.by", fix="set evaluate.by=standin")
    text = f"{by}: {_WHO[by]}"
    return Check(name="who answers", status="warn" if by == "standin" else "ok", text=text)


def _teacher(config: VlmConfig) -> Check:
    """The evaluated model is no teacher: it would confirm its own mistakes."""
    teacher = config.annotate
    if not teacher.on:
        return Check(name="teacher", status="skip", text="annotation is off")
    if config.pool_videos is None:
        raise BankError("pool_videos/ is missing", where=config.workspace, fix="put unlabelled videos there")
    judged = {config.evaluate.endpoint.model_name, *config.train.served.values()} - {None}
    for name in (teacher.model_name, teacher.second.model_name):
        if name is not None and name in judged:
            what = f"{name} is the model that is evaluated"
            raise BankError(what, where="annotate.model_name", fix="ask another model")
    second = f", then {teacher.second.model_name or teacher.model_name}" if teacher.second.base_url else ""
    budget = f"at most {teacher.max_calls} calls" if teacher.max_calls else "no limit of calls"
    text = f"{teacher.model_name}{second}; at most {teacher.videos} videos an iteration; {budget}"
    return Check(name="teacher", status="ok" if teacher.max_calls or teacher.max_cost else "warn", text=text)


def _train(config: VlmConfig) -> Check:
    spec = specs.base_spec(config, "train")
    where = config.train_spec or "packaged train.toml"
    # The stand-in trains on any number of rows; what the file says must be right for a real training, too.
    budget = (config.mining.budget if config.train.by != "standin" else None) or 1 << 30
    specs.check_train_spec(spec, budget, where)
    return Check(name="train spec", status="ok", text=f"{where}; trained by {config.train.by}")


def _evaluate_spec(config: VlmConfig) -> Check:
    specs.base_spec(config, "evaluate")
    return Check(name="evaluate spec", status="ok", text=config.evaluate_spec or "packaged evaluate.toml")


def _encoder(config: VlmConfig, sets: dict[str, RecordSet]) -> Check:
    if config.mining.encoder == "cosmos_embed":
        ready: Sequence[str | None] = [config.embeddings.kpi, config.embeddings.pool]
        if all(ready):
            held = [record for name in ("kpi", "pool") if name in sets for record in sets[name].records]
            Encoder(config).pairs(held)
            return Check(name="encoder", status="ok", text="ready-made embeddings")
        able = platform_named(config).can_run(COSMOS_EMBED)
        if able and not config.offline:
            model = specs.embed_model(config)
            where = config.embed_spec or "packaged embed.yaml"
            text = f"cosmos-embed in its container, with {model} ({where}); root cause looks at frames"
            return Check(name="encoder", status="ok", text=text)
        why = (
            "the run is offline, and its container would fetch packages"
            if able
            else f"{config.platform} does not run its container"
        )
        raise BankError(
            f"cosmos_embed needs embeddings/kpi.parquet and embeddings/pool.parquet: {why}",
            where="mining.encoder",
            fix="put them there, or --set mining.encoder=frames",
        )
    return Check(name="encoder", status="ok", text="frames: an image encoder over 8 frames, and hashed words")


def _platform(config: VlmConfig) -> list[Check]:
    elsewhere = config.evaluate.by in ("endpoint", "file") and config.train.by == "external"
    if elsewhere and not platform_class(config.platform).asks:
        return [Check(name="platform", status="ok", text="this machine, for gaps, root cause and mining")]
    return platform_checks(config)


def _disk(config: VlmConfig) -> Check:
    free = shutil.disk_usage(config.workspace).free
    if free < _FREE_BYTES_NEEDED:
        raise BankError(f"only {free // (1 << 20)} MiB are free", where=config.workspace, fix="free at least 1 GiB")
    return Check(name="disk", status="ok", text="enough room")
