"""A vendor that charges by its own count, and behaves as vendors do on a bad day; and what a ledger says of it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from scripted_endpoint import Fault, Request, ScriptedEndpoint, Usage, answer_of

from tao_skill_bank.annotate.journal import Journal
from tao_skill_bank.annotate.records import Totals

INPUT, OUTPUT = 1.0, 4.0
MOST = 512
"""The token limit of every answer in these tests."""
TOKENS = (
    *(f"vlm.openai.max_tokens={MOST}", f"llm.openai.max_tokens={MOST}"),
    *(f"vlm.gemini.max_output_tokens={MOST}", f"llm.gemini.max_output_tokens={MOST}"),
)


def prices_file(folder: Path) -> Path:
    """A table with the prices of every model in these tests."""
    path = folder / "prices.yaml"
    price = f"{{input: {INPUT}, output: {OUTPUT}}}"
    path.write_text(f"dated: 2026-01-01\nmodels:\n  scripted: {price}\n  gemini*: {price}\n", encoding="utf-8")
    return path


def charged(server: ScriptedEndpoint) -> float:
    """USD of the vendor's bill."""
    return sum(part * (read * INPUT + wrote * OUTPUT) for part, read, wrote in server.bill) / 1e6


def totals_of(results: Path) -> Totals:
    """What the ledger says, with what a killed process left in it."""
    with Journal(results) as journal:
        journal.resume().result()
        return journal.totals()


@dataclass
class BadDay:
    """Of every ten requests about four go wrong, each in its own way; and the bill is kept."""

    seed: int
    latency: float = 0.0
    late: float = 0.0
    share: float = 0.4

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.came_late = 0

    def seconds(self, request: Request) -> float:
        """Now and then later than anybody waits."""
        if self.late and self.chance.random() < 0.05:
            self.came_late += 1
            return self.late
        return self.chance.uniform(0, self.latency)

    def usage(self, request: Request, text: str) -> Usage:
        """Tokens as a real vendor counts them."""
        clips = sum(200 for _ in request.clips)
        return 40 + len(request.prompt) // 3 + 250 * request.images + clips, min(MOST, 20 + len(text) // 3)

    def fault(self, request: Request) -> Fault | None:
        """What goes wrong with this request."""
        if self.chance.random() >= self.share:
            return None
        gemini = "contents" in request.body
        read = self.usage(request, "")[0]
        spent = (read, MOST)
        whole = (read, 60)
        return self.chance.choice(
            [
                Fault(200, json.dumps(answer_of(None, spent, gemini, "length")), billed=spent),
                Fault(200, json.dumps(answer_of("", whole, gemini)), billed=whole),
                Fault(200, json.dumps(answer_of("A cart passes.", whole, gemini)), billed=whole, twice=True),
                Fault(200, '{"cut', billed=whole),
                Fault(0, billed=whole),
                Fault(0),
                Fault(500, billed=whole),
                Fault(503),
                Fault(429, headers={"retry-after": "0"}),
                Fault(400, '{"error": {"message": "this picture cannot be read"}}'),
            ]
        )
