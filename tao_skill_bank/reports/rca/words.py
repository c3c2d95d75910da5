"""What people say of the samples of an analysis: written into the one file of corrections, by the names it prints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.roots import OutsideError
from tao_skill_bank.data import corrections
from tao_skill_bank.data.changenet.images import ImageNaming
from tao_skill_bank.data.changenet.layout import Workspace
from tao_skill_bank.data.changenet.sample_book import KPI, LABEL_ADVICE, Rows, SampleBook, book_of, label_problem
from tao_skill_bank.data.changenet.tables import read_pairs
from tao_skill_bank.data.corrections import Correction, Known, Sample, Word
from tao_skill_bank.reports.rca.data import RcaData, Spot


class _Named(ImageNaming):
    """Images that are called by the suffixes an analysis has written down; they stand in `lights`."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """As they were read."""
        return self.lights


def home_of(data: RcaData) -> Path:
    """Where what is said of an analysis' samples is kept: the workspace of its experiment, else the experiment."""
    experiment = Path(data.context.experiment)
    if not guard.is_folder(experiment):
        return data.folder
    for folder in (experiment, *experiment.parents):
        try:
            if guard.is_file(Workspace(folder).kpi_csv):
                return folder
        except OutsideError:
            break
    return experiment


class RcaBook:
    """Every sample that was scored, by any name that a page prints; of a workspace's sets where it stands in one."""

    label_advice = LABEL_ADVICE

    def __init__(self, data: RcaData) -> None:
        self._data, self._home = data, home_of(data)

    @cached_property
    def _scored(self) -> Rows:
        metrics, context = self._data.metrics, self._data.context
        if metrics is None:
            raise InputError(
                "the analysis has no samples", where=self._data.folder, fix="reach the recall target first"
            )
        table = read_pairs(Path(metrics.input.path), required=("input_path", "object_name", "label"))
        return Rows(table, _Named(tuple(context.suffixes), ""), [Path(context.media)])

    @cached_property
    def _workspace(self) -> SampleBook | None:
        return book_of(self._home) if guard.is_file(Workspace(self._home).kpi_csv) else None

    def find(self, name: str, set_name: str | None = None) -> Known:
        """As `corrections.Book`; a picture that is gone is known by an empty digest."""
        rows = self._scored
        exact, ending = rows.fitting(self._data.context.sample(name))
        found = sorted({rows.name(row) for row in exact or ending})
        if len(found) != 1:
            what = f"could be {len(found)} samples: {', '.join(found[:3])}" if found else "is no sample that was scored"
            raise InputError(what, where=name, fix="write input_path/object_name as the page prints it")
        if self._workspace is not None:
            for wanted in [set_name] if set_name else [KPI, None]:
                try:
                    return self._workspace.find(found[0], wanted)
                except InputError:
                    if set_name:
                        raise
        row = (exact or ending)[0]
        sample = Sample(set=KPI, input_path=rows.table.input_path[row], object_name=rows.table.object_name[row])
        return Known(sample, rows.table.label[row].strip(), rows.pictures(row))

    def label_fault(self, label: str) -> str | None:
        """As `corrections.Book`."""
        return label_problem(label)


def enter(data: RcaData, word: Word) -> Correction:
    """Write down what somebody says of a sample of an analysis.

    What an earlier version kept in the spot check alone is written down with it, once: it is not lost.

    Raises:
        InputError: As `corrections.append`.
    """
    home, book = home_of(data), RcaBook(data)
    earlier = [w for w in _kept_apart(data.spots, word) if _is_known(book, w)]
    made = corrections.append(home, [*earlier, word], book)
    return made[-1]


def _kept_apart(spots: Sequence[Spot], word: Word) -> list[Word]:
    return [
        Word(spot.filepath, spot.verdict, "spot check", note=spot.note, score=spot.siamese_score)
        for spot in spots
        if spot.verdict is not None and not spot.word and spot.filepath != word.sample
    ]


def _is_known(book: RcaBook, word: Word) -> bool:
    try:
        book.find(str(word.sample))
    except InputError:
        return False
    return True


def as_they_stand(data: RcaData) -> list[Spot]:
    """The spot check with what stands today: a verdict that was taken back is open again."""
    if not any(spot.word for spot in data.spots):
        return data.spots
    known = corrections.read(home_of(data)).by_id
    return [
        spot.model_copy(update={"verdict": None, "note": "", "word": ""})
        if spot.word in known and known[spot.word].undone_by is not None
        else spot
        for spot in data.spots
    ]
