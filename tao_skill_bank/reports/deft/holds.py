"""The last section of a run's page: what its frozen threshold is shown to do, as the certificate says it."""

from __future__ import annotations

from typing import Any

from tao_skill_bank.assurance.certificate import Certificate, certify
from tao_skill_bank.assurance.subject import subject_of
from tao_skill_bank.core.errors import BankError
from tao_skill_bank.core.text import percent
from tao_skill_bank.reports.certificate import needs, rate_text
from tao_skill_bank.reports.deft.view import RunView


def holds(view: RunView) -> dict[str, Any] | None:
    """What the section shows: the certificate without who and when, so that the same run gives the same bytes.

    None while no model was measured, or where its scores are gone.
    """
    if view.best is None:
        return None
    try:
        made: Certificate = certify(subject_of(view.root), who="nobody yet")
    except (BankError, OSError):
        return None
    return {
        "made": made,
        "needs": needs(made),
        "rate": rate_text,
        "bound": lambda value: percent(None if value is None else 100 * value),
    }
