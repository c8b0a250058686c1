"""What a sweep leaves behind is for people, spreadsheets, and the next run."""

import re

import pandas as pd
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution

from trainworks.sweep import page as sweep_page
from trainworks.sweep import plots
from trainworks.sweep.trials import Objective, Trial

SPACE = {"rate": FloatDistribution(1e-4, 1e-1, log=True), "rules": CategoricalDistribution(["", "<b>=1, *=0"])}
TRIALS = [
    Trial({"rate": 0.001, "rules": ""}, 0.20),
    Trial({"rate": 0.00001234, "rules": "<b>=1, *=0"}, 0.35),
    Trial({"rate": 0.09, "rules": "<b>=1, *=0"}, None, "TrainingError: the loss\nis nan"),
]
OBJECTIVE = Objective("validation recall", "higher", "share")
TESTED = "test R@10 23.0 % (untouched 3.0 %)"
WINNER = {"source": "sample", "rate": 0.00001234, "rules": "<b>=1, *=0"}


def write(folder, objective=OBJECTIVE):
    """The files of a sweep of three trials."""
    sweep_page.write(TRIALS, SPACE, objective, WINNER, TESTED, {"space": "rate = …"}, folder)
    return folder


def test_the_table_has_every_trial(tmp_path):
    """In the order they were asked, a failed one with its error and no value."""
    rows = pd.read_csv(write(tmp_path) / "trials.csv", keep_default_na=False)
    assert list(rows.columns) == ["trial", "validation_recall", "rate", "rules", "error"]
    assert list(rows["validation_recall"]) == ["0.2", "0.35", ""] and list(rows["error"])[2] == "TrainingError: the loss is nan"


def test_the_winner_is_an_experiment_file(tmp_path):
    """The first line has the result and a question; the values come back as they were, a small number as a number."""
    text = (write(tmp_path) / "winner.yaml").read_text()
    first = text.splitlines()[0]
    assert first.startswith("# Trial 2, the best of 3 over rate, rules: validation recall 35.0 %, test R@10 23.0 %") and first.endswith("?")
    assert yaml.safe_load(text) == WINNER


def test_the_page_shows_the_best_and_every_knob(tmp_path):
    """Plots as pictures in the page, foreign words escaped, nothing fetched."""
    page = (write(tmp_path) / "sweep.html").read_text()
    assert "Trial 2 is the best: validation recall 35.0 %" in page
    for plot in ("trial, and the best so far", "against rate", "against rules"):
        assert f'aria-label="Validation recall of each {plot}"' in page or f'aria-label="Validation recall of each trial {plot}"' in page
    assert "<b>" not in page.replace("<b>0", "") and "<script" not in page and 'src="http' not in page
    assert "1 of 3 failed" in page and TESTED in page


def test_less_can_be_better(tmp_path):
    """Then the least value wins, and no number pretends to be a share."""
    folder = write(tmp_path, Objective("error by WAPE", "lower", "pieces"))
    assert (folder / "winner.yaml").read_text().startswith("# Trial 1, the best of 3 over rate, rules: error by WAPE 0.2 pieces, test")
    page = (folder / "sweep.html").read_text()
    assert "Trial 1 is the best: error by WAPE 0.2 pieces" in page and "is the lowest of 2" in page
    assert "Error by WAPE against each knob" in page


def test_no_dot_of_a_chart_is_cut(tmp_path):
    """One that lies on an axis is drawn whole, and a choice of many words is cut to the chart's width."""
    objective = Objective("recall", "higher", "share")
    dots = [plots.by_number("dots", [(1.0, 0.0)], objective, name="rate", log=False), plots.by_choice("dots", {"a" * 99: [0.0]}, objective)]
    for drawn in dots:
        assert re.search(r"<g>\s*<use ", drawn) and not re.search(r"<g clip-path[^>]*>\s*<use ", drawn) and "a" * 60 not in drawn


def test_numbers_of_trials_are_short_in_the_page_and_whole_in_the_table(tmp_path):
    """0.00001234567 is read as 1.235e-05 and computed with as it was."""
    trials = [Trial({"rate": 0.00001234567, "rules": ""}, 0.2)]
    sweep_page.write(trials, SPACE, OBJECTIVE, WINNER, TESTED, {}, tmp_path)
    assert "1.235e-05" in (tmp_path / "sweep.html").read_text()
    assert "1.234567e-05" in (tmp_path / "trials.csv").read_text()
