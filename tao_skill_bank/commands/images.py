"""`tao-skills images …`: the container images of versions.yaml; a pull only when it is asked for."""

from __future__ import annotations

import click

from tao_skill_bank.commands.options import JSON
from tao_skill_bank.commands.out import echo, print_json

_HOST = click.option("--host", help="The engine's address; default: DOCKER_HOST, else this machine's.")


@click.group()
def cli() -> None:
    """Resolve, check and pull the container images that runs use."""


@cli.command()
@click.argument("key", required=False)
def resolve(key: str | None) -> None:
    """Print what a KEY stands for; without one, every key."""
    from tao_skill_bank.bank.versions import load_versions, resolve_image

    if key:
        echo(resolve_image(key))
        return
    for name, reference in load_versions().resolved().items():
        echo(f"{name}  {reference}")


@cli.command()
@click.argument("keys", nargs=-1)
@_HOST
@JSON
def check(keys: tuple[str, ...], host: str | None, as_json: bool) -> None:
    """Whether the engine has the images, of the right architecture and digest. Ends with 1 if one cannot run."""
    from tao_skill_bank.platforms.docker.engine import Engine
    from tao_skill_bank.platforms.images import check_images

    found = check_images(Engine(host), keys)
    if as_json:
        print_json([view.model_dump() for view in found])
    else:
        for view in found:
            text = (
                view.fault or f"{view.reference}: {view.architecture}, {view.size_mb} MB, {view.digest or 'no digest'}"
            )
            echo(f"[{'fail' if view.fault else '  ok'}] {view.key}: {text}")
    if any(view.fault for view in found):
        raise SystemExit(1)


@cli.command()
@click.argument("key")
@_HOST
@click.option("--credential", metavar="NAME", help="Variable with the registry's key; default for NVIDIA's: NGC_KEY.")
@click.option("--offline", is_flag=True, help="Refuse: nothing may be downloaded.")
def pull(key: str, host: str | None, credential: str | None, offline: bool) -> None:
    """Pull one image."""
    from tao_skill_bank.core.errors import InputError
    from tao_skill_bank.platforms.docker.engine import Engine
    from tao_skill_bank.platforms.images import pull_image

    if offline:
        raise InputError("nothing is pulled offline", where="--offline", fix="leave it away, or load the image by hand")
    view = pull_image(Engine(host), key, credential=credential, said=echo)
    echo(f"{view.reference}: {view.architecture}, {view.size_mb} MB")
