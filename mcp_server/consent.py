"""A person's yes: asked for by the client, and never taken from one that cannot ask."""

from __future__ import annotations

from typing import Any, Literal

from mcp.server.mcpserver import AcceptedElicitation, Context, DeclinedElicitation, Elicit
from pydantic import BaseModel, Field


class Approve(BaseModel):
    """The person's answer: only a true of the client is a yes, no word or number that could pass for one."""

    approve: bool = Field(strict=True, description="Start this run?")


class ApproveAndAccept(Approve):
    """The same, where the plan asks for a word of its own: the person types it."""

    accept: str = Field(default="", description="Type the word that the plan asks for, to accept what it says.")


class CannotAsk(Approve):
    """The client has no way to ask a person; kept apart from a person's no."""


def asked(ctx: Context, question: str, kind: type[Approve] = Approve) -> Elicit[Approve] | Approve:
    """The question to the person. A client that cannot ask is never taken for a yes."""
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return CannotAsk(approve=False)
    return Elicit(question, kind)


def approved(answer: Any) -> bool:
    """Whether a person said yes."""
    return isinstance(answer, AcceptedElicitation) and bool(answer.data.approve)


def refusal(answer: Any) -> Literal["declined", "needs_approval"]:
    """What an answer that is no yes means: a person's no, or that nobody could be asked."""
    said_no = isinstance(answer, AcceptedElicitation) and not isinstance(answer.data, CannotAsk)
    return "declined" if said_no or isinstance(answer, DeclinedElicitation) else "needs_approval"
