"""data_mining: pool rows like the weak samples, or those the model is weakest on; then the leakage check."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tao_skill_bank.actions.mining.tables import ImageTable
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.arrow import arrow_file, read_parquet, write_parquet
from tao_skill_bank.core.errors import GateError, InputError, StageFailedError
from tao_skill_bank.core.overrides import setting
from tao_skill_bank.core.threads import one_blas_thread
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.pair_prepare import PAIR_COLUMNS
from tao_skill_bank.data.changenet.sample_book import POOL, TRAINING
from tao_skill_bank.data.changenet.tables import REQUIRED_COLUMNS, PairTable, read_pairs, write_pairs
from tao_skill_bank.loop.stage import Outcome
from tao_skill_bank.loop.state import iteration_number
from tao_skill_bank.tasks.changenet import leaks, sets, specs
from tao_skill_bank.tasks.changenet.copies import MOST_ALIKE, NEAR_FILE, Alike, shown, told_apart, write_alike
from tao_skill_bank.tasks.changenet.looks import blank_pictures
from tao_skill_bank.tasks.changenet.mining import (
    Kept,
    PoolMatch,
    keep_similar,
    match_pool,
    near_duplicates,
    similarity_to_targets,
    write_knn_summary,
    write_mined,
    write_mining_summary,
)
from tao_skill_bank.tasks.changenet.results import AnomalygenResult, MiningResult, RoutingResult
from tao_skill_bank.tasks.changenet.routing import normal
from tao_skill_bank.tasks.changenet.selection import needs_scores, select
from tao_skill_bank.tasks.changenet.stages.evaluate import infer_all
from tao_skill_bank.tasks.changenet.stages.merge import relative_to_workspace
from tao_skill_bank.tasks.changenet.state import Run, Stage


@dataclass(frozen=True)
class Pool:
    """The mining pool: its rows, where their images lie, and the image files of each row, one a lighting."""

    table: PairTable
    root: Path
    files: list[list[str]]

    def sample(self, row: int) -> str:
        """What a row is called in the state: its folder and object name."""
        return f"{self.table.input_path[row].strip('/')}/{self.table.object_name[row]}"


class DataMining(Stage):
    """Chooses pool rows; drops what an evaluation set holds at another path; stops where nothing new is left."""

    name = "data_mining"
    Result = MiningResult
    home = "mining_filter"

    def needs(self, run: Run, label: str) -> list[Path]:
        """The routed weak samples and the synthetic rows."""
        what, fix = "nothing was routed", "run routing and anomalygen first"
        routed, made = run.need(label, RoutingResult, what, fix), run.need(label, AnomalygenResult, what, fix)
        return [Path(routed.routing_mining_parquet), Path(made.anomalygen_rows_csv)]

    def work(self, run: Run, label: str) -> Outcome:
        """Search, choose, check, write."""
        config = run.state.config
        naming = specs.naming_of(config)
        out = self.folder(run, label)
        routed_parquet, synthetic_csv = self.needs(run, label)
        routed = read_parquet(routed_parquet)
        synthetic = read_pairs(synthetic_csv, allow_no_rows=True)
        warnings: list[str] = []
        found: dict[str, Any] = {}
        mined = PairTable(out / "mining_pool.csv", {name: [] for name in REQUIRED_COLUMNS})
        summary = "skipped: 0 rows routed to mining"
        chosen: list[int] = []
        pool: Pool | None = None
        promised = [out / "mining_pool.csv", out / "sdg_rows.csv"]
        if routed.num_rows:
            pool = load_pool(run, naming)
            chosen, encoder, count_text = self._choose(run, label, pool, routed, naming)
            mined = relative_to_workspace(pool.table.take(chosen), pool.root, run.workspace)
            found["mining_used"] = [pool.sample(row) for row in chosen]
            found["mining_encoder"] = encoder
            found["mining_mined_parquet"] = str(out / "mined.parquet")
            summary = count_text
            promised += [out / "mined.parquet", out / "mining_summary.txt", out / "knn_summary.csv"]
        kept_mined, kept_synthetic, leakage = self._leak_free(run, mined, synthetic, naming)
        mined, synthetic = mined.take(kept_mined), synthetic.take(kept_synthetic)
        write_pairs(out / "mining_pool.csv", mined.columns)
        write_pairs(out / "sdg_rows.csv", synthetic.columns or {name: [] for name in PAIR_COLUMNS})
        if len(mined) + len(synthetic) == 0:
            raise GateError(
                "nothing-new",
                "neither mining nor the generator has a new row for the weak samples",
                where=out,
                fix="add rows to the mining pool or more pairs, or lower mining_filter.min_similarity",
            )
        if pool is not None:
            self._warn_of_falling_yield(run, label, len(mined), warnings)
        new_pool = [] if pool is None else [pool.files[chosen[row]][0] for row in kept_mined]
        near = self._near_duplicates(run, label, naming, new_pool, synthetic)
        dropped = leakage["equal_mined"] + leakage["equal_synthetic"]
        if dropped:
            warnings.append(f"{label}: {dropped} new rows had the bytes of an evaluation image and were dropped")
        write_alike(out / NEAR_FILE, near, run.workspace)
        promised.append(out / NEAR_FILE)
        copies = [a for a in near if a.copy]
        if copies:
            one, other = (shown(file, run.workspace) for file in (copies[0].new, copies[0].evaluation))
            warnings.append(
                f"{label}: {len(copies)} new rows are copies of an evaluation image, told by its noise, first {one} of "
                f"{other}; all stand in {NEAR_FILE}: take them out of the pool"
            )
        return Outcome(
            summary=f"{summary}; {len(mined)} mined and {len(synthetic)} synthetic rows are new",
            result=MiningResult(
                **found,
                mining_pool_csv=str(out / "mining_pool.csv"),
                mining_mined_count=len(mined),
                mining_by_label=dict(sorted(Counter(mined.label).items())),
                anomalygen_count=len(synthetic),
                anomalygen_by_label=dict(sorted(Counter(synthetic.label).items())),
                leakage={**leakage, "near_duplicates": len(near), "near_copies": len(copies)},
            ),
            promised=promised,
            warnings=warnings,
        )

    def _choose(self, run: Run, label: str, pool: Pool, routed: Any, naming: ImageNaming) -> tuple[list[int], str, str]:
        """The pool rows to add, in a fixed order; the encoder; a line that says how many."""
        config = run.state.config
        out = self.folder(run, label)
        used = self._used_before(run, label)
        used_files = {f for row, files in enumerate(pool.files) if pool.sample(row) in used for f in files}
        match, encoder = self._search(run, label, pool, routed, naming, used_files)
        kept = keep_similar(match, config.mining_filter.min_similarity)
        write_knn_summary(out / "knn_summary.csv", kept)
        routed_labels = {normal(str(x)) for x in routed.column("label").to_pylist()}
        labels = [normal(x) for x in pool.table.label]
        candidate = np.array([x in routed_labels for x in labels], dtype=np.bool_)
        best = run.state.best()
        scores: npt.NDArray[np.float64] | None = None
        if needs_scores(config.mining.strategy):
            scores = self._pool_scores(run, label, pool, naming, candidate & ~match.used)
        rows = select(
            config.mining.strategy,
            labels=labels,
            candidate=candidate,
            used=match.used,
            kept=kept.rows,
            scores=scores,
            threshold=None if best is None else best[1].threshold,
            budget=config.mining.budget,
            seed=(config.seed, iteration_number(label)),
        )
        chosen = [int(row) for row in rows]
        write_mined(out / "mined.parquet", match, chosen, [files[0] for files in pool.files])
        write_mining_summary(
            out / "mining_summary.txt",
            kept,
            encoder=encoder,
            targets=routed.num_rows,
            pool_rows=len(pool.table),
            top_k=config.mining_filter.top_k_per_target,
            notes=[f"Strategy: {config.mining.strategy}", f"Chosen: {len(chosen)}"],
        )
        return chosen, encoder, _counts(config.mining.strategy, len(chosen), kept, match)

    def _search(
        self, run: Run, label: str, pool: Pool, routed: Any, naming: ImageNaming, used_files: set[str]
    ) -> tuple[PoolMatch, str]:
        """Embed weak samples and pool with one encoder; nearest neighbours within one lighting at a time."""
        import pyarrow.parquet as pq

        config = run.state.config
        out = self.folder(run, label)
        weak = [str(x) for x in routed.column("filepath").to_pylist()]
        pool_rows = [(file, light) for files in pool.files for light, file in enumerate(files)]
        embedded = {
            "target": self._embed(run, label, "target", weak, [_light_of(f, naming) for f in weak]),
            "source": self._embed(run, label, "source", [f for f, _ in pool_rows], [n for _, n in pool_rows]),
        }
        mine_spec = out / "mine.yaml"
        filters = config.mining_filter
        specs.write_spec(
            mine_spec, {"topn": filters.top_k_per_target, "knn_metric": filters.metric, "filter_by_label": False}
        )
        found: list[tuple[str, float, str]] = []
        for light in range(len(naming.suffixes)):
            parts = {
                name: self._one_light(out, embedded[name], name, light, len(naming.suffixes), used_files)
                for name in ("target", "source")
            }
            if any(pq.read_metadata(arrow_file(p)).num_rows == 0 for p in parts.values()):
                continue
            folder = out / "neighbors" / str(light)
            made = folder / "mined.parquet"
            command = ["tmm", "nearest_neighbors", "-e", str(mine_spec), setting("source_parquet", parts["source"])]
            command += [setting("target_parquet", parts["target"]), setting("output_parquet", made)]
            command += [f"topn={filters.top_k_per_target}", f"knn_metric={filters.metric}", "filter_by_label=false"]
            run.job(label, self.name, f"neighbors_{light}", command, [folder])
            found += self._found(made, parts)
        encoder = ImageTable(embedded["source"]).encoder()
        match = match_pool(
            [f for f, _, _ in found], [s for _, s, _ in found], [t for _, _, t in found], pool.files, used_files
        )
        return match, "unnamed" if encoder is None else str(encoder)

    def _embed(self, run: Run, label: str, name: str, files: list[str], lights: list[int]) -> Path:
        """Embeddings of these images by the run's encoder, one job; taken from the previous iteration if unchanged."""
        out = self.folder(run, label)
        spec, listed, made = out / "emb.yaml", out / f"{name}s.parquet", out / f"{name}_embeddings.parquet"
        specs.write_spec(spec, specs.encoder_spec(run.state.config, tao=run.platform.tao_own("embedding")))
        self._write_list(listed, files, lights)
        if name == "target" or not self._embedded_before(run, label, out, name):
            command = ["embedding", "image_embeddings", "-e", str(spec)]
            command += [setting("input_parquet", listed), setting("output_parquet", made)]
            run.job(label, self.name, f"embed_{name}", command, [made])
        return made

    def _embedded_before(self, run: Run, label: str, out: Path, what: str) -> bool:
        """Take embeddings from the previous iteration where the images and the encoder are the same."""
        before = run.folder(run.previous(label)) / "mining_filter"
        same = all(
            guard.is_file(before / name) and guard.read_bytes(before / name) == guard.read_bytes(out / name)
            for name in (f"{what}s.parquet", "emb.yaml")
        )
        made = f"{what}_embeddings.parquet"
        if not same or not guard.is_file(before / made):
            return False
        fsio.copy_file(before / made, out / made)
        return True

    def _near_duplicates(
        self,
        run: Run,
        label: str,
        naming: ImageNaming,
        pool_files: list[str],
        synthetic: PairTable,
    ) -> list[Alike]:
        """New images that look nearly the same as an evaluation image, the likeliest copies first; none is dropped.

        Images of one colour are left out: bare board looks the same on every board. `pool_files`: first-lighting images
        of the new pool rows, embedded already.
        """
        known = _evaluation_images(run, naming)
        evaluation = ImageTable(self._embed(run, label, "evaluation", known, [0] * len(known))).matrix()
        synthetic_files = _first_images(synthetic, run.workspace, naming)
        config = run.state.config
        made: list[tuple[list[str], npt.NDArray[np.floating]]] = []
        if pool_files:
            source = ImageTable(self.folder(run, label) / "source_embeddings.parquet")
            wanted = set(pool_files)
            embedded = [str(f) for f in source.filepaths().to_pylist()]
            taken = np.array([f in wanted for f in embedded], dtype=np.bool_)
            made.append(([f for f in embedded if f in wanted], source.matrix()[taken]))
        if synthetic_files:
            by_encoder = self._embed(run, label, "synthetic", synthetic_files, [0] * len(synthetic_files))
            made.append((synthetic_files, ImageTable(by_encoder).matrix()))
        with one_blas_thread():
            found = [
                (files[new], known[like], cosine)
                for files, vectors in made
                for new, like, cosine in near_duplicates(vectors, evaluation, MOST_ALIKE)
            ]
        blank = blank_pictures(config, [file for file, _, _ in found])
        return told_apart([x for x in found if x[0] not in blank])

    def _found(self, mined: Path, parts: dict[str, Path]) -> list[tuple[str, float, str]]:
        """(pool image, similarity, weak image) of a search; TAO's own table has the images alone."""
        table = read_parquet(mined)
        files = [str(x) for x in table.column("filepath").to_pylist()]
        if {"similarity", "target"} <= set(table.column_names):
            similar = [float(x) for x in table.column("similarity").to_pylist()]
            targets = [str(x) for x in table.column("target").to_pylist()]
        else:
            source, target = ImageTable(parts["source"]), ImageTable(parts["target"])
            with one_blas_thread():
                cosine, targets = similarity_to_targets(
                    files,
                    [str(x) for x in source.filepaths().to_pylist()],
                    source.matrix(),
                    [str(x) for x in target.filepaths().to_pylist()],
                    target.matrix(),
                )
            similar = [float(x) for x in cosine]
        return list(zip(files, similar, targets, strict=True))

    def _write_list(self, path: Path, files: list[str], lights: list[int]) -> None:
        import pyarrow as pa

        write_parquet(path, pa.table({"filepath": files, "lighting": pa.array(lights, pa.int32())}))

    def _one_light(self, out: Path, embedded: Path, name: str, light: int, lights: int, used_files: set[str]) -> Path:
        """The embeddings of one lighting; of the pool, those not used before."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if lights == 1 and (name == "target" or not used_files):
            return embedded
        table = read_parquet(embedded)
        keep = pc.equal(table.column("lighting"), light)
        if name == "source" and used_files:
            taken = pc.is_in(table.column("filepath"), value_set=pa.array(sorted(used_files), pa.string()))
            keep = pc.and_(keep, pc.invert(taken))
        path = out / "by_light" / f"{name}_{light}.parquet"
        write_parquet(path, table.filter(keep))
        return path

    def _pool_scores(
        self, run: Run, label: str, pool: Pool, naming: ImageNaming, wanted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """The best model's score of every wanted pool row, NaN elsewhere."""
        from tao_skill_bank.data.changenet.kpi import read_scored

        best = run.state.best()
        rows = np.flatnonzero(wanted)
        scores = np.full(len(pool.table), np.nan)
        if best is None or best[1].best_ckpt_path is None or len(rows) == 0:
            return scores
        out = self.folder(run, label)
        csv = out / "pool_candidates.csv"
        write_pairs(csv, {n: [v[r] for r in rows] for n, v in pool.table.columns.items() if n in REQUIRED_COLUMNS})
        spec_path = out / "pool_spec.yaml"
        spec = specs.inference_spec(run.state.config, csv, pool.root)
        specs.write_spec(spec_path, spec)
        checkpoint, scored_in = Path(best[1].best_ckpt_path), out / "pool_scores"
        infer_all(run, label, self.name, spec_path, {"score_pool": checkpoint}, {"score_pool": scored_in})
        scored = read_scored(scored_in / "inference.csv")
        if len(scored.scores) != len(rows):
            raise StageFailedError(
                f"{len(scored.scores)} of {len(rows)} pool rows were scored", where=csv, fix="see the job's log"
            )
        scores[rows] = scored.scores
        return scores

    def _used_before(self, run: Run, label: str) -> set[str]:
        found = [before.result(MiningResult) for before in run.state.before(label)]
        return {sample for mined in found if mined is not None for sample in mined.mining_used or []}

    def _warn_of_falling_yield(self, run: Run, label: str, new: int, warnings: list[str]) -> None:
        """New rows after the leakage check against those of the iteration before, counted the same way."""
        before = run.state.iteration(run.previous(label)).mining_mined_count
        if before and new < before / 2:
            warnings.append(f"{label}: mining yields {new} rows after {before}: the pool is running dry")

    def _leak_free(
        self, run: Run, mined: PairTable, synthetic: PairTable, naming: ImageNaming
    ) -> tuple[list[int], list[int], dict[str, Any]]:
        """Stop on a leaked test image; positions of the rows whose bytes no evaluation set holds at another path."""
        config = run.state.config
        out: list[list[int]] = []
        dropped: list[int] = []
        for table in (mined, synthetic):
            leaks.refuse_leaks(table, run.workspace, config, naming)
            equal = leaks.equal_rows(table, run.workspace, config, naming)
            out.append([row for row in range(len(table)) if row not in equal])
            dropped.append(len(equal))
        own = read_pairs(sets.csv_of(run, TRAINING))
        own_root = specs.image_root(config, own.path, naming)
        counts = {
            "looked": len(mined) + len(synthetic),
            "leaked": 0,
            "own_rows": len(own),
            "equal_mined": dropped[0],
            "equal_synthetic": dropped[1],
            "equal_own": len(leaks.equal_rows(own, own_root, config, naming)),
        }
        return out[0], out[1], counts


def load_pool(run: Run, naming: ImageNaming) -> Pool:
    """The mining pool.

    Raises:
        GateError: It is named and missing, or has no rows.
    """
    config = run.state.config
    if config.mining_pool_csv is None:
        raise GateError("mining-pool", "rows were routed to mining and there is no pool", where=config.workspace)
    path = Path(config.mining_pool_csv)
    if not guard.is_file(path):
        raise GateError("mining-pool", "the mining pool is missing", where=path, fix="restore it")
    try:
        path = sets.csv_of(run, POOL)
        table = read_pairs(path)
    except InputError as error:
        raise GateError("mining-pool", error.what, where=path, fix=error.fix) from None
    root = specs.image_root(config, path, naming)
    folder, name = table.input_path, table.object_name
    return Pool(table, root, [[str(f) for f in naming.files(root, folder[i], name[i])] for i in range(len(table))])


def _evaluation_images(run: Run, naming: ImageNaming) -> list[str]:
    """The first-lighting images of validation, KPI and acceptance sets, each once, in order."""
    config = run.state.config
    tables = leaks.evaluation_tables(config)
    found = [f for t in tables for f in _first_images(t, specs.image_root(config, t.path, naming), naming)]
    return list(dict.fromkeys(found))


def _first_images(table: PairTable, root: Path, naming: ImageNaming) -> list[str]:
    """The first-lighting image of every row."""
    if len(table) == 0:
        return []
    return [str(naming.files(root, f, n)[0]) for f, n in zip(table.input_path, table.object_name, strict=True)]


def _light_of(file: str, naming: ImageNaming) -> int:
    """Which lighting an image shows, by the end of its name."""
    fits = [(len(suffix), n) for n, suffix in enumerate(naming.suffixes) if file.endswith(suffix)]
    return max(fits)[1] if fits else 0


def _counts(strategy: str, chosen: int, kept: Kept, match: PoolMatch) -> str:
    return (
        f"{strategy}: {chosen} of {int((~match.used).sum())} unused pool rows "
        f"({kept.kept_count} of {kept.candidate_count} neighbours at or above {kept.threshold:g})"
    )
