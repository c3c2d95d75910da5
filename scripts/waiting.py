"""What a client talks to while the environment of its server is being made, and the way on to the server itself.

A client waits some seconds for a server and then gives it up for the session. So the wire is answered before there is
a server: `initialize`, the list of the server's tools (not every client lists them twice), and one tool more, which
says how far the set-up is, why it failed, and tries again. A call of the others is held back for a while. When the
environment is there the server is started behind this process, greeted with the client's own words, given the calls
that wait, and the client is told to list anew; from then on every line goes through as it came. Only the standard
library is used.
"""

import contextlib
import json
import os
import select
import sys
import threading
import time

import mcp_server
from mcp_server import FOLDER_OF_SESSION, INSTRUCTIONS

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""What the server's SDK can be greeted with; a test compares them."""
TOOL = "get_set_up_status"
MOST_WAIT_SEC = 50
CAPABILITIES = {
    "completions": {},
    "experimental": {FOLDER_OF_SESSION: {}},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": False},
    "tools": {"listChanged": True},
}
ABOUT = (
    "The bank's other tools wait while its environment is made for the first start (a minute or two). This "
    "waits until that has ended, at most wait_sec, and says how far it is, or why it failed and what mends it; called "
    "after a failure it tries again. Call it until it says ready."
)
TOOLS = [
    {
        "name": TOOL,
        "title": "Set-up status",
        "description": ABOUT,
        "inputSchema": {
            "type": "object",
            "properties": {"wait_sec": {"type": "number", "minimum": 0, "maximum": MOST_WAIT_SEC, "default": 20}},
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True},
    }
]
EMPTY = {"prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates"}
READY = "ready: the bank's tools answer now"


class Room:
    """One client, waiting."""

    def __init__(self, version, making):
        """`making` begins the set-up, says how it stands, and starts the server (see `launch.Making`)."""
        self.version, self.making = version, making
        self.greeting = None
        """The client's `initialize`, as the server will be told it."""
        self.waiting = {}  # calls: their id, when they are answered at the latest, and the line if it is the server's
        self.rest = b""
        self.writing = threading.Lock()
        self.server = None
        self.failed = ""

    def serve(self):
        """Answer until the client goes; the exit status."""
        while self.server is None:
            if select.select([0], [], [], 0.2)[0] and not self.read():
                return 1 if self.failed else 0
            self.look()
        if self.server.poll() is not None:  # at once: who had asked was told
            return self.server.returncode & 0xFF
        while self.read():
            pass
        self.server.stdin.close()
        return self.server.wait()

    def read(self):
        """Take what the client sent; False when it is gone."""
        data = os.read(0, 1 << 16)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.hear(line + b"\n")
        return bool(data)

    def hear(self, line):
        """One message: on to the server, but for the calls that only this room knows."""
        asked = request(line) if self.server is None or TOOL.encode() in line else None
        if asked is not None and asked["method"] == "tools/call" and asked["params"].get("name") == TOOL:
            self.called(asked["id"], asked["params"].get("arguments"))
        elif self.server is not None:
            with contextlib.suppress(OSError):  # it has ended, and so does this process
                self.server.stdin.write(line)
                self.server.stdin.flush()
        elif asked is None:
            if line.strip():
                self.say({"id": None, "error": {"code": -32600, "message": "Invalid request: no request is read here"}})
        elif asked["id"] is not None:
            self.answer(asked["id"], asked["method"], asked["params"], asked, line)
        elif asked["method"] == "notifications/cancelled":
            self.waiting.pop(str(asked["params"].get("requestId")), None)

    def answer(self, number, method, params, asked, line):
        """The answer to a request that no server has heard."""
        if method == "initialize":
            version = params.get("protocolVersion")
            version = version if version in VERSIONS else VERSIONS[-1]
            self.greeting = {**asked, "params": {**params, "protocolVersion": version}}
            about = {"name": "tao-skill-bank", "title": "TAO Skill Bank", "version": self.version}
            said = {"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": about}
            result = {**said, "instructions": f"{INSTRUCTIONS} {ABOUT.replace('This', TOOL, 1)}"}
        elif method == "tools/list":
            result = {"tools": TOOLS + offered()}
        elif method in EMPTY:
            result = {EMPTY[method]: []}
        elif method == "ping":
            result = {}
        elif method == "tools/call":
            self.waiting[str(number)] = (number, time.monotonic() + MOST_WAIT_SEC, line)
            return
        else:
            self.say({"id": number, "error": {"code": -32601, "message": f"not before the set-up ends: {TOOL} tells"}})
            return
        self.say({"id": number, "result": result})

    def called(self, number, arguments):
        """A call of the tool: it is answered when there is something to say."""
        seconds = arguments.get("wait_sec", 20) if isinstance(arguments, dict) else 20
        if not isinstance(seconds, (int, float)) or not 0 <= seconds <= MOST_WAIT_SEC:
            self.say({"id": number, "result": spoken(f"wait_sec is a number from 0 to {MOST_WAIT_SEC}", True)})
        elif self.server is not None:
            self.say({"id": number, "result": spoken(READY)})
        else:
            if self.failed:
                self.failed = self.making.again()
            self.waiting[str(number)] = (number, time.monotonic() + seconds, None)

    def look(self):
        """See how the set-up stands; answer the calls that have waited for that, or long enough."""
        state, text = self.making.state()
        if state == "ready" and self.greeting is not None:
            text = self.hand_over()
            state = "ready" if text == READY else "failed"
        elif state == "failed" and text != self.failed:
            self.failed = text
            self.making.say(text)
        for key, (number, until, line) in list(self.waiting.items()):
            if state != "making" or time.monotonic() >= until:
                del self.waiting[key]
                if line is None:
                    self.say({"id": number, "result": spoken(text, state == "failed")})
                elif state == "ready":
                    self.hear(line)
                else:
                    self.say({"id": number, "result": spoken(f"not yet: {text}; call {TOOL}", True)})

    def hand_over(self):
        """Start the server, greet it as the client greeted this room, and let its words through; what is said of it."""
        self.server = server = self.making.server()
        hello = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        with contextlib.suppress(OSError):  # one that has ended gives no answer
            for message in (self.greeting, hello):
                server.stdin.write(json.dumps(message).encode() + b"\n")
            server.stdin.flush()
        if not server.stdout.readline():  # the client has had its greeting
            text = f"the server ended at once (exit status {server.wait()}); its own words stand on stderr"
            self.making.say(text)
            return text
        threading.Thread(target=self.pass_on, daemon=True).start()
        for kind in ("tools", "prompts", "resources"):
            self.say({"method": f"notifications/{kind}/list_changed"})
        return READY

    def pass_on(self):
        """What the server says, line by line; when it ends, so does this process."""
        for line in self.server.stdout:
            self.write(line)
        os._exit(self.server.wait() & 0xFF)

    def say(self, message):
        """A message of this room."""
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def write(self, line):
        """A line to the client, whole."""
        with self.writing, contextlib.suppress(OSError):  # a client that is gone is seen where it is read
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def offered():
    """The server's tools as it will list them."""
    found, folder = [], os.path.join(os.path.dirname(mcp_server.__file__), "offered")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as tool:
            found.append(json.load(tool))
    return found


def request(line):
    """A request or notification as an object with method, id and params; None for what is none."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        return None
    asked = {**asked, "id": asked.get("id"), "params": asked.get("params") or {}}
    return asked if isinstance(asked["params"], dict) and isinstance(asked["id"], (str, int, type(None))) else None


def spoken(text, wrong=False):
    """A tool's result that is one text."""
    return {"content": [{"type": "text", "text": text}], "isError": wrong}
