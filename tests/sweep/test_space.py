"""The language of a sweep's space: what it reads, and where it says a mistake is."""

from dataclasses import dataclass
from enum import Enum

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from trainworks.config import Section, knob
from trainworks.errors import LanguageError
from trainworks.sweep import space


class Arithmetic(Enum):
    """Two ways to count."""

    EXACT = "exact"
    FAST = "fast"


@dataclass(frozen=True)
class Toy(Section):
    """A knob of each kind, and two that must agree."""

    name = "toy"

    rate: float = knob(0.1, "a rate", above=0, most=1)
    steps: int = knob(4, "steps", least=1)
    rules: str = knob("*=1", "rules, of which none may be wrong")
    arithmetic: Arithmetic = knob(Arithmetic.EXACT, "how to count")

    def __post_init__(self) -> None:
        super().__post_init__()
        if "wrong" in self.rules:
            raise LanguageError("rules", self.rules, self.rules.index("wrong"), "expected a right rule")


def test_ranges_follow_the_kind_of_the_knob():
    """A knob that counts takes whole numbers, on either scale."""
    found = space.parse("rate = log(1e-4, 1e-2); steps = uniform(2, 8)", Toy())
    assert found == {"rate": FloatDistribution(1e-4, 1e-2, log=True), "steps": IntDistribution(2, 8)}


def test_choices_are_texts_as_they_are():
    """Commas, brackets and equal signs belong to them; nothing before a bar is the empty text."""
    found = space.parse("rules = | a=1, *.head(2)=0.1 \n arithmetic = fast | exact", Toy())
    assert found == {"rules": CategoricalDistribution(["", "a=1, *.head(2)=0.1"]), "arithmetic": CategoricalDistribution(["fast", "exact"])}


def test_a_setting_becomes_a_section():
    """Words of an Enum become its members; knobs that are not named stay."""
    assert space.apply(Toy(steps=9), {"rate": 0.5, "arithmetic": "fast"}) == Toy(0.5, 9, arithmetic=Arithmetic.FAST)


@pytest.mark.parametrize(
    ("text", "settings"), [("steps = 1 | 2; rules = a | b | c", 6), ("steps = uniform(3, 7)", 5), ("rate = log(0.1, 1)", float("inf"))]
)
def test_size_counts_the_settings(text, settings):
    """Choices multiply; a range of a real number has no end."""
    assert space.size(space.parse(text, Toy())) == settings


@pytest.mark.parametrize(
    ("text", "mark", "says"),
    [
        ("rate = 0.1 | 0.2; stepps = 1 | 2", "stepps", "did you mean 'steps'"),
        ("rate 0.1", "rate", "expected a knob such as"),
        (" ; \n", " ;", "names no knob"),
        ("rate = 0.1 | 0.2\nrate = 0.3 | 0.4", "rate = 0.3", "comes twice"),
        ("steps = 1 | 2.5", "2.5", "expected a whole number"),
        ("rate = log(1e-4, x)", "x)", "expected a number"),
        ("rate = lgo(1e-4, 1)", "lgo", "did you mean 'log'"),
        ("rate = uniform(0.5, 0.1)", "0.1)", "expected an upper end above 0.5"),
        ("rate = uniform(0.5, nan)", "nan", "must be a number"),
        ("steps = 3 | 0", "0", "--steps = 0: must be at least 1"),
        ("rate = uniform(0.1, 2)", "2", "--rate = 2.0: must be at most 1"),
        ("rules = a=1 | b=1, wrong", "wrong", "rules: expected a right rule"),
        ("arithmetic = exact | fats", "fats", "did you mean 'fast'"),
        ("rules = a", "a", "has one value"),
        ("steps = 2 | 3 | 2", "2", "twice"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text, mark, says):
    """Also one inside another language, and one that only the section refuses."""
    with pytest.raises(LanguageError) as caught:
        space.parse(text, Toy())
    assert says in str(caught.value)
    assert text[caught.value.position :].startswith(mark)
