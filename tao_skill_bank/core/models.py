"""What the models of data from outside have in common: a key that they do not know is refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid")


class Kept(BaseModel):
    """Keeps keys that it does not know: another version may have written them. No number is infinite or none."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Frozen(BaseModel):
    """Refuses keys that it does not know, and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_fault(error: ValidationError, whole: str = "the file") -> str:
    """The first value that does not fit, as `key: what is wrong with it`; `whole` names what has no key."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"
