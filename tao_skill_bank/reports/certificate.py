"""The certificate on disk: `certificate.json`, the page that an auditor reads, and a signature where there is a key."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tao_skill_bank.assurance.certificate import Certificate, Rate
from tao_skill_bank.core import fsio, guard
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.text import percent, plural, whole
from tao_skill_bank.reports.page import render_page
from tao_skill_bank.tasks.changenet.metric import ESCAPE, FAR, GRAMMAR, RECALL

JSON_FILE, PAGE_FILE = "certificate.json", "certificate.html"
NAMESPACE = "tao-skills-certificate"
"""The namespace of the signature, which whoever checks it has to name."""


def write_certificate(certificate: Certificate, folder: Path, key: Path | None = None) -> list[Path]:
    """Write a certificate, its page and, with a key, its signature; returns the files.

    Raises:
        InputError: Another certificate is there; the key does not sign. Nothing was written then.
    """
    path, page = folder / JSON_FILE, folder / PAGE_FILE
    if guard.exists(path):
        raise InputError("there is a certificate already", where=path, fix="name another folder")
    text = certificate.model_dump_json(indent=2) + "\n"
    signature = None if key is None else _signature(text, key)
    guard.make_folder(folder)
    fsio.write_text(page, certificate_html(certificate))
    written = [path, page]
    if signature is not None:
        written.append(folder / f"{JSON_FILE}.sig")
        fsio.write_text(written[-1], signature)
    fsio.write_text(path, text)
    return written


def certificate_html(certificate: Certificate) -> str:
    """The page as text. Everything out of data is escaped."""
    return render_page(
        "certificate.html.j2",
        made=certificate,
        rate=rate_text,
        bound=bound_text,
        sentence=sentence(certificate),
        needs=needs(certificate),
        facts=_facts(certificate),
        namespace=NAMESPACE,
    )


def rate_text(rate: Rate | None) -> str:
    """`3.11 % (7 of 225)`."""
    if rate is None or rate.value is None:
        return "not measured"
    return f"{percent(100 * rate.value)} ({whole(rate.k)} of {whole(rate.n)})"


def bound_text(share: float | None) -> str:
    """A bound, given from 0 to 1, in percent."""
    return percent(None if share is None else 100 * share)


def sentence(made: Certificate) -> str:
    """The whole of it in one sentence."""
    if made.shown:
        return f"At the frozen threshold the target “{made.target}” is shown."
    if made.word == "not met":
        return f"At the frozen threshold the target “{made.target}” is not met."
    if made.word == "met, not shown":
        return f"At the frozen threshold the figures meet the target “{made.target}”; these parts do not show it."
    return f"Whether the frozen threshold meets the target “{made.target}” cannot be told from these parts."


def needs(certificate: Certificate) -> list[tuple[str, str, str]]:
    """(further errors, more good parts, more defects) for each number of errors among them."""
    if certificate.shown:
        return []
    target = GRAMMAR.parse(certificate.target)
    far, missed = (any(map(target.limit, names)) for names in ((FAR.name,), (RECALL.name, ESCAPE.name)))
    rows = [(0, certificate.needed.pass_rows, certificate.needed.defect_rows)]
    rows += [(a.errors, a.pass_rows, a.defect_rows) for a in certificate.allowed]
    return [(str(k), _more(good, asked=far), _more(bad, asked=missed)) for k, good, bad in rows]


def _more(count: int | None, *, asked: bool) -> str:
    if not asked:
        return "nothing was asked"
    return "no feasible number" if count is None else whole(count) if count else "none"


def _facts(certificate: Certificate) -> list[tuple[str, str]]:
    trained = certificate.trained
    who = {"tao": "NVIDIA TAO", "stand-in": "the bank's own small network: a rehearsal"}.get(trained.by, "not recorded")
    no_image = "not recorded" if trained.by == "unknown" else "none"
    return [
        ("Threshold", f"{certificate.threshold!r}, {certificate.threshold_from}"),
        (
            "Judged on",
            f"{certificate.set}: {plural(certificate.far.n, 'good part')}, {plural(certificate.recall.n, 'defect')}",
        ),
        ("Scores", certificate.data),
        ("Scores, SHA-256", certificate.data_sha256),
        ("Run", certificate.run or "none: a file of scores"),
        ("Model", certificate.model or "not recorded"),
        ("Trained by", who),
        ("Checkpoint, SHA-256", trained.checkpoint_sha256 or "not recorded"),
        ("Image", " ".join(filter(None, (trained.image, trained.image_digest))) or no_image),
        ("Software", f"TAO Skill Bank {certificate.software}"),
        ("Certified by", certificate.certified_by),
        ("Certified", certificate.certified_at[:19].replace("T", " ") + " UTC"),
        ("Digest of this certificate", certificate.digest),
    ]


def _signature(text: str, key: Path) -> str:
    """What `ssh-keygen -Y sign` says of a text."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    except FileNotFoundError:
        raise InputError(
            "ssh-keygen is not installed", where="--sign", fix="install OpenSSH, or leave --sign away"
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError("ssh-keygen did not answer", where="--sign", fix="use a key of an agent") from None
    if done.returncode or "BEGIN SSH SIGNATURE" not in done.stdout:
        said = done.stderr.strip().splitlines()
        raise InputError(
            f"the key does not sign: {said[-1] if said else 'ssh-keygen failed'}",
            where=key,
            fix="name a private SSH key",
        )
    return done.stdout
