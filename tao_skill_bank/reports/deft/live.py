"""A run's report on a loopback page that follows the run: rendered from disk when something has changed there."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tao_skill_bank.core import guard
from tao_skill_bank.core.errors import BankError, InputError
from tao_skill_bank.loop.log import log_path
from tao_skill_bank.loop.state import state_path
from tao_skill_bank.reports.deft.report import report_html
from tao_skill_bank.reports.deft.view import NARRATIVE, RunView
from tao_skill_bank.reports.renderers import page
from tao_skill_bank.tasks.changenet.state import State
from tao_skill_bank.tasks.registry import load_state

LOOPBACK = "127.0.0.1"
_AGAIN_SEC = "5"
"""A page without a script that follows the run is loaded again by the browser."""
_SECURITY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class LiveReport:
    """The page of a run of any task, rendered anew only when the run has moved on."""

    def __init__(self, results_dir: Path) -> None:
        self.root = results_dir
        self.follows = True
        """Whether the page itself asks for the mark."""
        self._lock = threading.Lock()
        self._mark = ""
        self._html = ""

    def mark(self) -> str:
        """Changes when anything that the page shows has: times and sizes of the files that a stage's end touches."""
        files = (state_path(self.root), log_path(self.root), self.root / NARRATIVE, self.root / "best_model.json")
        return guard.mark(*files)

    def page(self) -> str:
        """The page as it is now.

        Raises:
            InputError: The run's state cannot be read.
        """
        with self._lock:
            mark = self.mark()
            if mark != self._mark:
                self.follows = isinstance(load_state(self.root), State)
                self._html = report_html(RunView(self.root), live=mark) if self.follows else page(self.root)
                self._mark = mark
            return self._html


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, report: LiveReport) -> None:
        self.report = report
        super().__init__((LOOPBACK, port), _Handler)

    def admits(self, host: str | None) -> bool:
        """Whether a `Host` header names this machine: a name that only resolves to it may belong to another page."""
        port = self.server_address[1]
        return host in {f"{name}:{port}" for name in (LOOPBACK, "localhost")}


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "tao-skills"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """The page at `/`, its mark at `/mark`."""
        if not self.server.admits(self.headers.get("Host")):
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", "this page is for 127.0.0.1 only\n")
        elif self.path == "/mark":
            self._answer(HTTPStatus.OK, "text/plain", self.server.report.mark())
        elif self.path == "/":
            try:
                self._answer(HTTPStatus.OK, "text/html", self.server.report.page())
            except BankError as error:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", error.line() + "\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "nothing here\n")

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**_SECURITY, "Content-Type": f"{kind}; charset=utf-8"}.items():
            self.send_header(name, value)
        if self.path == "/" and not self.server.report.follows:
            self.send_header("Refresh", _AGAIN_SEC)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to the run."""


class LiveServer:
    """A running server; use it with `with`.

    Args:
        results_dir: The run folder.
        port: 0 takes a free one.

    Raises:
        InputError: No run there, or the port is taken.
    """

    def __init__(self, results_dir: Path, port: int = 0) -> None:
        load_state(results_dir)
        try:
            self._server = _Server(port, LiveReport(results_dir))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}",
                where="--serve",
                fix="give another port, or none for a free one",
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/"

    def __enter__(self) -> LiveServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
