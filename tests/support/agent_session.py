"""An agent that knows nothing but what it was shown: one client, one session, one real server process over stdio.

What it may call and name has to stand in a text that reached it: the hook, the server's instructions, the tools'
descriptions and schemas, the skills' descriptions, what it read as a resource, and the results so far. Calls and
characters of everything after the start are counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitResult, ResourceLink, TextContent

from tao_skill_bank.bank.skills import load_skill, skill_folders

ROOT = Path(__file__).resolve().parents[2]
YES = ElicitResult(action="accept", content={"approve": True})
NO = ElicitResult(action="accept", content={"approve": False})


class AgentSession:
    """The session; `request` begins a new conversation in it.

    Attributes:
        root: The folder that the server may touch.
        person: What the person answers when asked; None: nobody is there.
        asked: The questions that a person was asked since `request`.
        results: What tools answered since `request`, as data.
        calls, characters: Counted since `request`.
    """

    def __init__(self, portal: BlockingPortal, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self.person: ElicitResult | None = None
        self.asked: list[str] = []
        self.results: list[dict[str, Any]] = []
        self.calls = self.characters = 0
        self._portal = portal
        self._server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "mcp_server", "--root", str(root)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=root,
        )
        self._start = self._said = ""
        self._tools: dict[str, Any] = {}

    @contextlib.contextmanager
    def connected(self) -> Iterator[AgentSession]:
        """While the server runs and the client is connected."""
        client = Client(self._server, elicitation_callback=self._ask)
        with self._portal.wrap_async_context_manager(client) as self._client:
            listed = self._portal.call(self._client.list_tools)
            shown = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]
            self._tools = {tool["name"]: tool for tool in shown}
            hook = subprocess.run(
                ["sh", str(ROOT / "hooks" / "session_start.sh")], capture_output=True, text=True, check=True
            )
            skills = [load_skill(folder) for folder in skill_folders()]
            self._start = "\n".join(
                [
                    hook.stdout,
                    str(self._client.instructions or ""),
                    json.dumps(shown),
                    *(f"{skill.name}: {skill.description}" for skill in skills),
                ]
            )
            yield self

    async def _ask(self, _context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        return self.person or ElicitResult(action="cancel")

    def request(self, said: str, person: ElicitResult | None = None) -> AgentSession:
        """A person says what is wanted; counting begins."""
        self.person, self.asked, self.results = person, [], []
        self.calls = self.characters = 0
        self._said = said
        return self

    def read(self, uri: str) -> str:
        """Read a skill, one of its references or a guide; its name has to have been said."""
        self._known(re.split(r"[:/]+", uri)[-1].removesuffix(".md"))
        found = self._portal.call(self._client.read_resource, uri)
        text = "\n".join(part.text for part in found.contents)
        self._count(uri, text)
        return text

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool; one that fails is data with the key `error`."""
        assert tool in self._tools, f"{tool} is not offered"
        known = self._tools[tool]["inputSchema"]["properties"]
        assert set(arguments) <= set(known), f"{tool} has no {set(arguments) - set(known)}"
        for setting in arguments.get("settings") or ():
            self._known(setting.partition("=")[0])
        for key in arguments.get("overrides") or ():
            self._known(key)
        result = self._portal.call(self._client.call_tool, tool, arguments)
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        links = [block.uri for block in result.content if isinstance(block, ResourceLink)]
        data = {"error": "\n".join(texts)} if result.is_error else dict(result.structured_content or {})
        self._count(tool + json.dumps(arguments), "\n".join([*texts, *map(str, links)]))
        self.results.append(data)
        return data

    def follow(self, tool: str, ended: str, **arguments: Any) -> dict[str, Any]:
        """Ask a status tool until what it says of `ended` (a pattern) is so."""
        while True:
            found = self.call(tool, **arguments)
            if "error" in found or re.search(ended, json.dumps(found)):
                return found
            if "cursor" in found:
                arguments["after"] = found["cursor"]
            if "wait_sec" not in self._tools[tool]["inputSchema"]["properties"]:
                self._portal.call(_pause)

    def _known(self, name: str) -> None:
        assert name in self._start + self._said, f"nothing that was shown names {name!r}"

    def _count(self, sent: str, got: str) -> None:
        self.calls += 1
        # The folder's own name and digests have no say in how much an agent reads.
        self.characters += len(self._plain(sent)) + len(self._plain(got))
        self._said += "\n" + sent + "\n" + got

    def _plain(self, text: str) -> str:
        return text.replace(str(self.root), "/root").replace(str(ROOT), "/bank").replace(sys.executable, "python")


async def _pause() -> None:
    import anyio

    await anyio.sleep(0.3)


@contextlib.contextmanager
def agent_session(root: Path, **environment: str) -> Iterator[AgentSession]:
    """A session with a server that may touch `root`."""
    with start_blocking_portal() as portal, AgentSession(portal, root, environment).connected() as session:
        yield session
