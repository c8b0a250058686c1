"""What a gate may ask of a run."""

import pytest

from trainworks.errors import LanguageError
from trainworks.supermegaretail.delivery.knobs import GateConfig
from trainworks.supermegaretail.evaluation.knobs import CostConfig


def test_the_default_gates_parse_and_a_misspelt_one_is_refused_with_its_position():
    """Where the knob is set, before anything runs."""
    GateConfig()
    with pytest.raises(LanguageError, match="did you mean 'coverage'") as refused:
        GateConfig("gain >= 0, coverag <= 0.1")
    assert refused.value.position == 11


def test_costs_are_positive():
    """Without a cost on either side there is no best order."""
    with pytest.raises(ValueError, match=r"--shortage_cost = 0: must be above 0"):
        CostConfig(shortage_cost=0)
