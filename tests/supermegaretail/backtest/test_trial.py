"""What a sweep of this room refuses, and what it takes from a trial."""

import pytest

from trainworks.supermegaretail.backtest import trial
from trainworks.supermegaretail.backtest.knobs import TrialConfig
from trainworks.sweep import space


def test_trials_may_not_ask_for_what_the_panel_lacks():
    """All trials share one panel: a covariate that it was not made with would be silently absent."""
    model = TrialConfig(covariates="promotion@plan + price@plan")
    trial.check(space.parse("covariates = promotion@plan | price@plan; seed = 1 | 2", model), model.covariates)
    with pytest.raises(ValueError, match=r"names weather, which the panel would not have; name all .* in --covariates"):
        trial.check(space.parse("covariates = promotion@plan | price@plan + weather@plan", model), model.covariates)
