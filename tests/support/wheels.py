"""A package index of a few kilobytes: every package of a lock with its real requirements, and nothing in it."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Collection, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import set_up
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MADE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""What an installation writes."""
SOURCE_ONLY = "antlr4-python3-runtime"
# They work: they build, or are asked by the set-up itself.
REAL = ("setuptools", "hatchling", "editables", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")


def wheel(
    folder: Path, name: str, version: str, requires: Iterable[str] = (), files: dict[str, bytes] | None = None
) -> Path:
    """Write `NAME-VERSION-py3-none-any.whl`; its files are a module without content, or those given."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *requires, "", ""]
    content = dict(files or {f"{name.replace('-', '_')}_.py": b""})
    content[f"{stem}.dist-info/METADATA"] = "\n".join(lines).encode()
    content[f"{stem}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    return _zipped(folder / f"{stem}-py3-none-any.whl", f"{stem}.dist-info/RECORD", content)


def repacked(folder: Path, name: str) -> Path:
    """The installed package as a wheel again."""
    found = metadata.distribution(name)
    stem = f"{name.replace('-', '_')}-{found.version}"
    content = {
        str(path): Path(str(path.locate())).read_bytes()
        for path in found.files or ()
        if not str(path).startswith("..") and path.suffix != ".pyc" and not (len(path.parts) == 2 and path.name in MADE)
    }
    (record,) = {str(path) for path in found.files or () if path.name == "RECORD" and len(path.parts) == 2}
    return _zipped(folder / f"{stem}-py3-none-any.whl", record, content)


def source(folder: Path, name: str, version: str) -> Path:
    """A source distribution of the old kind: a setup.py, and no word of what builds it."""
    path = folder / f"{name}-{version}.tar.gz"
    setup = f"from setuptools import setup\nsetup(name={name!r}, version={version!r}, py_modules=['built_'])\n"
    with tarfile.open(path, "w:gz") as archive:
        for inner, text in (
            ("setup.py", setup),
            ("built_.py", ""),
            ("PKG-INFO", f"Name: {name}\nVersion: {version}\n"),
        ):
            entry = tarfile.TarInfo(f"{name}-{version}/{inner}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def _zipped(path: Path, record: str, content: dict[str, bytes]) -> Path:
    rows = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in content.items()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**content, record: ("\n".join([*rows, f"{record},,"]) + "\n").encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def requirements(name: str, version: str) -> list[str]:
    """The lines of metadata on what a package asks for; none where another version of it is installed."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return []
    if found.version != version:
        return []
    kept = ("Requires-Dist", "Provides-Extra")
    return [f"{key}: {value}" for key, value in found.metadata.items() if key in kept]


@cache
def needed(name: str, extras: frozenset[str] = frozenset()) -> frozenset[tuple[str, frozenset[str]]]:
    """What a package asks for here."""
    found = set()
    for line in metadata.requires(name) or []:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found.add((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    return frozenset(found)


def closure(names: set[str]) -> set[str]:
    """These packages and all that they bring."""
    open_ = [(name, frozenset[str]()) for name in names]
    seen = set(open_)
    while open_:
        for asked in needed(*open_.pop()) - seen:
            seen.add(asked)
            open_.append(asked)
    return {name for name, _ in seen}


@cache
def size_mb(name: str) -> float:
    """What the files of a package take, without compiled bytecode."""
    files = [path.locate() for path in metadata.files(name) or [] if path.suffix != ".pyc"]
    return sum(Path(path).stat().st_size for path in files if Path(path).is_file()) / 1e6


class Index:
    """Files to be found (`files`), an index in pip's form (`simple`), and a lock of them (`lock`).

    Args:
        folder: Where they go.
        lock: The lock whose packages are taken.
        names: Only these; all by default.
        newer: Beside every package lies one of a later version, which asks for the same.
        real: Those of `REAL` that are as they are installed here; all by default.
    """

    def __init__(
        self,
        folder: Path,
        lock: Path,
        names: Iterable[str] | None = None,
        *,
        newer: bool = True,
        real: Collection[str] = REAL,
    ) -> None:
        self.real = real
        self.files, self.simple, self.lock = folder / "files", folder / "simple", folder / "requirements.lock"
        self.files.mkdir(parents=True)
        wanted = None if names is None else set(names)
        lines = []
        for first in set_up.Lock(str(lock)).blocks:
            entry = set_up.ENTRY.match(first)
            assert entry is not None
            name, version = entry[1], entry[2]
            if wanted is None or name in wanted:
                digest = hashlib.sha256(self._made(name, version).read_bytes()).hexdigest()
                pin = first.rstrip(" \\")
                lines.append(f"{pin} \\\n    --hash=sha256:{digest}\n")
                if newer:
                    wheel(self.files, name, f"{version}.post9", requirements(name, version))
        self.lock.write_text("".join(lines))
        for path in self.files.iterdir():
            project = path.name.replace("_", "-").rpartition(f"-{_version(path)}")[0].lower()
            page = self.simple / project / "index.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            with page.open("a") as links:
                links.write(f'<a href="../../files/{path.name}">{path.name}</a>\n')

    def _made(self, name: str, version: str) -> Path:
        if name in self.real and metadata.version(name) == version:
            return repacked(self.files, name)
        if name == SOURCE_ONLY:
            return source(self.files, name, version)
        return wheel(self.files, name, version, requirements(name, version))


def _version(path: Path) -> str:
    stem = path.name.removesuffix(".tar.gz").removesuffix("-py3-none-any.whl")
    return stem.rpartition("-")[2]
