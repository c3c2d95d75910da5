"""Addresses of what holds: monitors of a threshold and certificates, by the functions of the commands and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill_bank.assurance import monitor
from tao_skill_bank.assurance.certificate import Certificate, certify, read_certificate
from tao_skill_bank.assurance.subject import subject_of
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import percent
from tao_skill_bank.reports.certificate import certificate_html, needs, rate_text, sentence
from tao_skill_bank.reports.monitor import head, reading, stratum_rows
from tao_skill_bank.studio.api_runs import REPORT_POLICY
from tao_skill_bank.studio.app import Routes, Studio
from tao_skill_bank.studio.models import CertificateRow, HoldsView, MonitorRow, StratumRow

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def holds(studio: Studio, request: Request) -> HoldsView:
    """Every monitor and certificate of the workspace; one that cannot be read is there with the reason."""
    return HoldsView(
        monitors=[_monitor(name, folder) for name, folder in studio.workspace.monitors().items()],
        certificates=[_certificate(name, path) for name, path in studio.workspace.certificates().items()],
    )


def of_run(studio: Studio, request: Request) -> CertificateRow:
    """What the best model of a run is shown to do at its frozen threshold; nothing is written."""
    name = str(request.path_params["run"])
    return certificate_row(name, certify(subject_of(studio.workspace.run(name)), who="nobody yet"))


def page(studio: Studio, request: Request) -> Response:
    """The page of a certificate, as its auditor gets it."""
    from starlette.responses import HTMLResponse

    made = read_certificate(studio.workspace.certificate(request.query_params.get("in", "")))
    return HTMLResponse(certificate_html(made), headers={"Content-Security-Policy": REPORT_POLICY})


def _monitor(name: str, folder: Path) -> MonitorRow:
    try:
        found = monitor.status(folder)
        rows, words = stratum_rows(folder, found), reading(folder, found)
    except (BankError, OSError) as error:
        return MonitorRow(name=name, problem=error.line() if isinstance(error, BankError) else str(error))
    alarms = [None if row["alarm"] is None else row["alarm"].text for row in rows]
    strata = [StratumRow(**{**r, "alarm": a, "chart": str(r["chart"])}) for r, a in zip(rows, alarms, strict=True)]
    return MonitorRow(name=name, head=head(found), status=found, strata=strata, reading=words)


def _certificate(name: str, path: Path) -> CertificateRow:
    try:
        return certificate_row(name, read_certificate(path))
    except (BankError, OSError) as error:
        return CertificateRow(name=name, problem=error.line() if isinstance(error, BankError) else str(error))


def certificate_row(name: str, made: Certificate) -> CertificateRow:
    """A certificate in the words of its page."""
    return CertificateRow(
        name=name,
        sentence=sentence(made),
        **made.model_dump(include={"word", "shown", "text", "threshold", "set", "cautions", "digest"}),
        far=rate_text(made.far),
        far_most=percent(100 * made.far.upper_one_sided),
        recall=rate_text(made.recall),
        recall_least=percent(100 * made.recall.lower_one_sided),
        needs=needs(made),
        by=made.certified_by,
        at=made.certified_at,
    )


ROUTES: Routes = (
    ("/holds", "GET", holds),
    ("/holds/run/{run}", "GET", of_run),
    ("/holds/certificate", "GET", page),
)
