"""What pip and uv are told of a person's indexes and caches, and what they mean when they fail.

Beside `set_up.py`, and as it: the standard library alone, any Python 3.8 or newer.
"""

import configparser
import os
import platform
import re
import shutil
import sys
import tempfile

BEGUN = re.compile(r"(?:Collecting |Processing (?:[^(]*/)?)([A-Za-z][\w.-]*?)(?:==|-)(\d[^\s-]*?)(?:-|\.tar|\s|$)")
NO_ANSWER = re.compile(r"Looking in|WARNING|Using Python|\s*$")  # what pip and uv say before an index has spoken
FULL = re.compile(r"No space left on device|Errno 28|Disk quota exceeded|os error (?:28|122)")
DENIED = re.compile(r"(?:Read-only file system|Permission denied|Errno (?:13|30)\b)(?:[^'\"`\n]*['\"`]([^'\"`]+))?")
OTHER_FILE = re.compile(r"DO NOT MATCH THE HASHES|Hash mismatch")
NO_CONNECTION = re.compile(
    r"connection broken by '(.+?)'?: /|Caused by: (.*(?:connect|dns|timed out|tls|certificate).*)", re.IGNORECASE
)
MISSING = re.compile(r"No matching distribution found for (\S+)|Because (\S+) was not found|no version of (\S+)")
NO_WHEEL = re.compile(r"BackendUnavailable|metadata-generation-failed|Failed (building wheel|to (download and )?build)")
MEND_NETWORK = "mend the network, proxy or pip configuration"
OF_INDEXES = re.compile(
    "(extra-)?index-url|find-links|no-index|trusted-host|proxy|(client-)?cert|keyring-provider|(default-)?timeout|retries|"
    "(no-)?cache-dir|use-feature|use-deprecated"
)
"""Where packages come from a person's pip configuration says; how and into what, the set-up alone."""
SET = ("1", "true", "yes", "on")
NO_ROOM_BYTES = 8 << 20  # what fails with less left failed for it, whatever it says


def find_uv():
    """The path of uv, or None."""
    for path in (shutil.which("uv"), os.path.expanduser("~/.local/bin/uv"), os.path.expanduser("~/.cargo/bin/uv")):
        if path and os.access(path, os.X_OK):
            return path
    return None


def pip_settings():
    """What pip's configuration files and PIP_ variables say; later files win, [install] more, variables most.

    Raises:
        ValueError: One of the files is no configuration.
    """
    home = os.path.expanduser("~")
    dirs = reversed((os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep))
    user = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    given = os.environ.get("PIP_CONFIG_FILE")
    paths = [*(f"{folder}/pip/pip.conf" for folder in dirs), "/etc/pip.conf"]
    paths += ["/Library/Application Support/pip/pip.conf", f"{home}/.pip/pip.conf", f"{user}/pip/pip.conf", given or ""]
    parser = configparser.RawConfigParser()
    for path in filter(None, [] if given == os.devnull else paths):
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, ValueError) as error:
            raise ValueError(f"pip's configuration {path} cannot be read ({error})") from None
    found = {}
    for section in filter(parser.has_section, ("global", "install")):
        found.update({k.replace("_", "-"): v for k, v in parser.items(section)})
    found.update({k[4:].lower().replace("_", "-"): v for k, v in os.environ.items() if k.startswith("PIP_") and v})
    return {key: " ".join(value.split()) for key, value in found.items()}


def pip_environment(settings):
    """What pip is told of indexes, as its variables: nothing else of what a person configured reaches it."""
    told = {f"PIP_{k.upper().replace('-', '_')}": v for k, v in settings.items() if v and OF_INDEXES.fullmatch(k)}
    return {**told, "PIP_CONFIG_FILE": os.devnull}


def uv_environment(settings):
    """What pip is told of indexes, as uv's variables; what is set for uv already stays."""
    pairs = [("cert", "SSL_CERT_FILE"), ("proxy", "ALL_PROXY")]
    if not any(os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE")):
        pairs += [("index-url", "UV_DEFAULT_INDEX"), ("extra-index-url", "UV_INDEX")]
        pairs += [("trusted-host", "UV_INSECURE_HOST"), ("find-links", "UV_FIND_LINKS"), ("no-index", "UV_NO_INDEX")]
    env = {variable: settings[key] for key, variable in pairs if settings.get(key)}
    env["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip looks: in every index. The hashes decide.
    if "UV_FIND_LINKS" in env:
        env["UV_FIND_LINKS"] = ",".join(env["UV_FIND_LINKS"].split())
    if env.get("UV_NO_INDEX", "1").lower() not in SET:
        del env["UV_NO_INDEX"]
    return {**env, **{k: v for k, v in os.environ.items() if k in env}}


def address(settings, uv):
    """Where packages are looked for, without a password."""
    if settings.get("no-index", "").lower() in SET:
        links = f"find-links {settings['find-links']}" if settings.get("find-links") else "without find-links"
        said = f"pip's configuration (no-index, {links})"
    else:
        of_uv = [os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL") if uv]
        named = next(filter(None, of_uv), None) or settings.get("index-url", "")
        said = " ".join(["the package index", *named.split()])
    return re.sub(r"//[^/@\s]*@", "//", said)


def without_cache(settings):
    """The variables that keep pip and uv from a cache folder that cannot be written to: a build would fail by it."""
    home = os.path.expanduser("~")
    common = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    of_pip = os.path.join(home, "Library", "Caches") if sys.platform == "darwin" else common
    found = {}
    given = settings.get("cache-dir"), os.environ.get("UV_CACHE_DIR")
    caches = (given[0] or os.path.join(of_pip, "pip"), "PIP_NO_CACHE_DIR"), (given[1] or f"{common}/uv", "UV_NO_CACHE")
    for folder, off in caches:
        try:
            os.makedirs(folder, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            found[off] = "1"
    return found


def this_python(work):
    """The environment's Python and this machine, as wheels are told apart."""
    names = os.listdir(os.path.join(work.folder, "lib")) if os.path.isdir(os.path.join(work.folder, "lib")) else []
    version = next((name[len("python") :] for name in names if name.startswith("python3.")), "3")
    return f"Python {version} on {platform.machine()} {platform.system()}"


def explain(text, purpose, work):
    """(what, fix) from what pip or uv said: the first cause that is known, else the tool's own last error."""
    where, offline = work.source(), work.without_network()
    if "No usable temporary directory" in text:
        return "no folder for temporary files can be written to", "free some space, or set TMPDIR to one that can be"
    places = [folder for folder in (work.folder, tempfile.gettempdir()) if os.path.isdir(folder)]
    if FULL.search(text) or any(shutil.disk_usage(folder).free < NO_ROOM_BYTES for folder in places):
        return f"the disk is full ({', '.join(places)})", "free some space, or name another folder"
    denied, broken, missing = (kind.search(text) for kind in (DENIED, NO_CONNECTION, MISSING))
    if denied:
        by_make = " (`make demo VENV=DIR DEMO=DIR`)" if os.path.basename(work.folder) == ".venv" else ""
        return f"{denied.group(1) or work.folder} cannot be written to", f"name a folder that can be{by_make}"
    if OTHER_FILE.search(text):
        named = re.search(r"\n\s*(\S+==\S+) from|`(\S+==\S+)`", text)
        name = next(filter(None, named.groups())) if named else "a package"
        what = f"{where} serves another file as {name} than the lock names"
        return what, "ask who keeps the index or the proxy; nothing was installed"
    if broken:
        said = next(filter(None, broken.groups()))
        said = re.sub(r"^\w+\(.*?(?:object at 0x\w+>|host='[^']*'[^)]*\)): ?|[\"')]+$", "", said)[:160]
        return f"{where} does not answer ({said})", f"{MEND_NETWORK}; {offline}"
    if missing:
        what = f"{where} does not have {next(filter(None, missing.groups()))} for {this_python(work)}"
        return what, f"have it taken in, or {offline}"
    sources = [f"{name}=={version}" for name, version in BEGUN.findall(text)] + re.findall(r"`(\S+==\S+?)`", text)
    if NO_WHEEL.search(text) and sources:
        what = f"{sources[-1]} is not published ready-made for {this_python(work)}, and cannot be built here"
        return what, "take another Python, such as 3.13 (`make demo PYTHON=python3.13`)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error|×|Caused by)\b", line, re.IGNORECASE)] or lines[-1:]
    return (re.sub(r"^ERROR: ", "", errors[0])[:300] if errors else f"could not {purpose}"), "see the log"
