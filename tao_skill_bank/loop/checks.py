"""What a check of a plan found: kept in the run's state, so that a report says what was looked at before the start."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Check(BaseModel):
    """One check: `ok`, `warn` (shown, does not stop), `skip` (does not apply), `fail` (stops)."""

    model_config = ConfigDict(extra="forbid")

    name: str
    status: Literal["ok", "warn", "skip", "fail"]
    text: str
