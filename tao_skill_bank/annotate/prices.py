"""What tokens cost: a dated table that the user can put another before."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tao_skill_bank.core.errors import InputError


@dataclass(frozen=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float


class Prices:
    """Prices by model name; an earlier table first, in it an exact name, then the longest pattern that fits.

    Attributes:
        dated: Of when the tables are.
        batch: What part of the price is asked for answers out of batches.
    """

    def __init__(self, tables: list[dict[str, Price]], dated: str, batch: float = 0.5) -> None:
        self.dated = dated
        self.batch = batch
        self._tables = tables
        self._of = cache(self._find)

    def plain(self, models: Iterable[str]) -> dict[str, Any]:
        """What a run has to know of the tables, as plain data."""
        found = {model: self.of(model) for model in models}
        return {
            "models": {name: None if price is None else [price.input, price.output] for name, price in found.items()},
            "batch": self.batch,
        }

    @classmethod
    def plain_of(cls, value: dict[str, Any], dated: str) -> Prices:
        """The other way round."""
        exact = {name: Price(*price) for name, price in value["models"].items() if price is not None}
        return _Exact([exact], dated, value["batch"])

    def of(self, model: str) -> Price | None:
        """The price of a model, None if the table does not know it."""
        return self._of(model)

    def cost(self, model: str, input_tokens: int, output_tokens: int, *, batch: bool = False) -> float | None:
        """USD, None if the price is unknown."""
        price = self.of(model)
        if price is None:
            return None
        part = self.batch if batch else 1.0
        return part * (input_tokens * price.input + output_tokens * price.output) / 1_000_000

    def _find(self, model: str) -> Price | None:
        name = model.removeprefix("models/")
        for table in self._tables:
            if model in table:
                # As it stands in the spec, whatever is in it.
                return table[model]
            patterns = sorted(table, key=lambda p: ("*" not in p, len(p)), reverse=True)
            found = next((table[p] for p in patterns if fnmatch.fnmatchcase(name, p)), None)
            if found is not None:
                return found
        return None


class _Exact(Prices):
    """Prices of the models of one run: their names are names, whatever is in them."""

    def _find(self, model: str) -> Price | None:
        return self._tables[0].get(model)


def price_named(text: str) -> tuple[str, tuple[float, float]]:
    """`MODEL=INPUT,OUTPUT`, USD per million tokens, as a model's name and its two prices.

    Raises:
        InputError: It is not of that form.
    """
    model, _, numbers = text.rpartition("=")
    try:
        given, made = (float(number) for number in numbers.split(","))
        if not model:
            raise ValueError
    except ValueError:
        fix = "write MODEL=INPUT,OUTPUT in USD per million tokens, such as my-model=0.1,0.4"
        raise InputError(f"no price: {text!r}", where="--price", fix=fix) from None
    return model, (given, made)


def load_prices(own: Path | None = None, named: Mapping[str, Sequence[float]] | None = None) -> Prices:
    """The shipped table, with the user's own before it, and before that the prices named one by one.

    Raises:
        InputError: The own table, or a price, cannot be used.
    """
    import yaml

    shipped = yaml.safe_load(resources.files(__package__).joinpath("prices.yaml").read_text(encoding="utf-8"))
    tables = [_table(shipped, "prices.yaml")]
    dated, batch = str(shipped["dated"]), float(shipped["batch"])
    if own is not None:
        from tao_skill_bank.core.overrides import load_yaml_mapping

        values = load_yaml_mapping(own)
        tables.insert(0, _table(values, str(own)))
        dated = f"{values.get('dated', 'undated')} ({own.name}), else {dated}"
        batch = values.get("batch", batch)
        if not isinstance(batch, (int, float)) or not 0 <= batch <= 1:
            raise InputError("batch must be a part of the price", where=own, fix="write batch: 0.5, or leave it out")
    if named:
        if wrong := next((model for model, price in named.items() if len(price) != 2), None):
            fix = "give two numbers, USD per million tokens: input, output"
            raise InputError(f"no price of {wrong!r}: {list(named[wrong])}", where="price", fix=fix)
        # As a table: what is refused of one is refused of the other.
        models = {model: dict(zip(("input", "output"), price, strict=True)) for model, price in named.items()}
        tables.insert(0, _table({"models": models}, "price"))
        dated = f"given with the run, else {dated}"
    return Prices(tables, dated, float(batch))


def _table(values: dict[str, Any], where: str) -> dict[str, Price]:
    models = values.get("models")
    if not isinstance(models, dict):
        raise InputError("no mapping 'models'", where=where, fix="write models: {NAME: {input: USD, output: USD}}")
    table: dict[str, Price] = {}
    for name, entry in models.items():
        numbers = [entry.get(k) if isinstance(entry, dict) else None for k in ("input", "output")]
        if not all(isinstance(n, (int, float)) and math.isfinite(n) and n >= 0 for n in numbers):
            raise InputError(f"models.{name} needs input and output in USD per million tokens", where=where)
        table[str(name)] = Price(float(numbers[0] or 0), float(numbers[1] or 0))
    return table
