"""TAO Skill Bank: the DEFT loop, gap analysis, mining and annotation for NVIDIA TAO vision models, from Python.

    import tao_skill_bank as tao

    plan = tao.plan("W", "FAR < 1% at recall=99%", max_iterations=3)
    print(plan)
    print(tao.run(plan, approve=plan.digest))

What `__all__` names is what programs may rely on; docs/guides/python.md shows each of it. Every other module of this
package is private: it may move or change with any version. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tao_skill_bank.core.version import __version__ as __version__

if TYPE_CHECKING:
    from tao_skill_bank import gaps as gaps
    from tao_skill_bank.annotate.front import annotate as annotate
    from tao_skill_bank.annotate.front import annotation_status as annotation_status
    from tao_skill_bank.annotate.front import estimate_annotation as estimate_annotation
    from tao_skill_bank.core.errors import BankError as BankError
    from tao_skill_bank.core.errors import GateError as GateError
    from tao_skill_bank.core.errors import InputError as InputError
    from tao_skill_bank.core.errors import NeedsApprovalError as NeedsApprovalError
    from tao_skill_bank.frames import Frames as Frames
    from tao_skill_bank.front import Plan as Plan
    from tao_skill_bank.front import compare as compare
    from tao_skill_bank.front import demo_workspace as demo_workspace
    from tao_skill_bank.front import mine as mine
    from tao_skill_bank.front import plan as plan
    from tao_skill_bank.front import rca as rca
    from tao_skill_bank.front import report as report
    from tao_skill_bank.front import run as run
    from tao_skill_bank.front import status as status
    from tao_skill_bank.front import stop as stop
    from tao_skill_bank.front import workspace as workspace

_HOMES = {
    "BankError": "core.errors",
    "GateError": "core.errors",
    "InputError": "core.errors",
    "NeedsApprovalError": "core.errors",
    "Frames": "frames",
    "annotate": "annotate",
    "annotation_status": "annotate.front",
    "estimate_annotation": "annotate.front",
    "gaps": "gaps",
}
"""Name to the module that holds it, where that is not `front`; a name that is its module's own is the module."""

__all__ = [
    "BankError",
    "Frames",
    "GateError",
    "InputError",
    "NeedsApprovalError",
    "Plan",
    "__version__",
    "annotate",
    "annotation_status",
    "compare",
    "demo_workspace",
    "estimate_annotation",
    "gaps",
    "mine",
    "plan",
    "rca",
    "report",
    "run",
    "status",
    "stop",
    "workspace",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = _HOMES.get(name, "front")
    home = import_module(f"{__name__}.{where}")
    return home if name == where else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
