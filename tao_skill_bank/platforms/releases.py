"""Which TAO release a run's command lines meet: asked for, named by an image's tag, or installed in an environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tao_skill_bank.bank.versions import default_release
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.data.releases.facts import known, newest, release_in, release_named
from tao_skill_bank.platforms import platform_named
from tao_skill_bank.platforms.work import Work

TRAINER = "nvidia_tao_pytorch"


@dataclass(frozen=True)
class Runs:
    """A release, and what says so.

    Attributes:
        release: The known release that specs are checked against.
        text: What runs and how that is known, one line.
        sure: False where the release that runs is not known, and another stands in for the checks.
    """

    release: str
    text: str
    sure: bool = True


def release_that_runs(config: Work, command: str = "visual_changenet") -> Runs:
    """The release of a run's configuration, by what runs one of its commands.

    Raises:
        InputError: `release` asks for an unknown one, or for another than the one that its platform has.
    """
    asked = config.release
    wanted = None if not asked else release_named(str(asked), "--set release").version
    found = _found(config, command)
    if found is None:
        release = wanted or default_release()
        why = "as asked for" if wanted else "of the images in versions.yaml"
        return Runs(release, f"TAO {release}, {why}; what runs is the bank's own")
    version, where = found
    if wanted is not None and version is not None and version != wanted:
        what = f"release {wanted} is asked for, and {where} is {version}"
        raise InputError(what, where="--set release", fix=f"--set release={version}, or name what has {wanted}")
    if version in known():
        return Runs(str(version), f"TAO {version}: {where}")
    if wanted is not None:
        return Runs(wanted, f"TAO {wanted}, as asked for; {where} does not say")
    said = f"is {version}, which is not known" if version else "names no release"
    return Runs(newest(), f"{where} {said}: checked as TAO {newest()} (--set release says which it is)", sure=False)


def installed_release(folder: Path) -> str | None:
    """The version of TAO's trainer beside a folder of commands, None where it does not say."""
    environments = (folder.parent, folder.parent / "env")
    places = [*(p for e in environments for p in e.glob("lib/python3*/site-packages")), folder.parent / "tao"]
    for place in places:
        for path in sorted(place.glob(f"{TRAINER}-*.dist-info")):
            return path.name.removesuffix(".dist-info").partition("-")[2]
    return None


def _found(config: Work, command: str) -> tuple[str | None, str] | None:
    """(version, where it stands) of what the platform runs; None where the bank's own runs."""
    try:
        platform = platform_named(config)
    except BankError:
        return None  # the check of the platform says why
    if not platform.tao_own(command):
        return None
    folder = getattr(platform, "folder", None)
    if folder is not None:
        return installed_release(folder), f"{TRAINER.replace('_', '-')} in {folder.parent}"
    from tao_skill_bank.platforms.container import settings_of

    settings = settings_of(config)
    reference = settings.image_for(command)
    return release_in(reference), f"the image {reference}"
