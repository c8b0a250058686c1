"""What PhotoStock's gates may ask for."""

import pytest

from trainworks.errors import LanguageError
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.evaluation.checks import BEHAVIOUR
from trainworks.photostock.evaluation.measures import MEASURES


def test_the_knob_is_checked_before_anything_runs():
    """A section with a bad gate cannot be built; the default can."""
    assert GateConfig().gates
    with pytest.raises(LanguageError, match=r"gates: unknown 'recal', expected one of recall, gain, .*did you mean 'recall'"):
        GateConfig(gates="recal >= 0.2")


def test_an_example_is_given_in_the_words_of_the_pipeline():
    """Where a gate is expected and none came."""
    with pytest.raises(LanguageError, match=r"expected a gate such as recall >= 0.25, found ''"):
        GateConfig(gates="recall >= 0.2,")


def test_what_must_be_large_and_what_must_be_small():
    """Rates of behaviour are floors, as are recall and gain; all else is a ceiling."""
    floors = {name for name, measure in MEASURES.items() if measure.must == "at least"}
    assert floors == {"recall", "gain", "sure_gain", "lift", "queries", "preference", *BEHAVIOUR}
