"""Addresses of plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request

    from tao_skill_bank.studio.app import Studio

ROUTES: tuple[tuple[str, str, Callable[[Studio, Request], Any]], ...] = ()
