"""The console door: parse, call the engine, print."""

from __future__ import annotations


def main() -> None:
    """Run `tao-skills`."""
    raise SystemExit(0)
