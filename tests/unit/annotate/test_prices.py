"""Prices that are named one by one: taken as they are written, whatever is in a model's name."""

from __future__ import annotations

import pytest

from tao_skill_bank.annotate.prices import Price, load_prices, price_named
from tao_skill_bank.core.errors import InputError


@pytest.mark.parametrize("model", ["my-model", "models/gemini-9", "Org/Model[awq]", "a=b", "org/m?*"])
def test_a_price_is_found_by_the_name_that_the_spec_and_the_error_say(model: str) -> None:
    name, price = price_named(f"{model}=0.1,0.4")
    assert load_prices(None, {name: price}).of(model) == Price(0.1, 0.4)


@pytest.mark.parametrize("text", ["0.1,0.4", "=0.1,0.4", "m", "m=", "m=1", "m=1,2,3", "m=a,b"])
def test_what_names_no_model_or_no_two_prices_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="MODEL=INPUT,OUTPUT"):
        price_named(text)
