"""Long work says how far it is: on a terminal by a bar, in a log by lines."""

import logging
import sys
import time

from trainworks import progress


def test_a_log_gets_a_line_now_and_then(caplog, capsys):
    """With how many of how many, and nothing that a terminal would redraw."""
    bar = progress.Bar(desc="prepare", total=8000, unit=" pictures")
    bar.start_t = bar.last_print_t = bar.start_t - 60  # a minute ago
    with caplog.at_level(logging.INFO, "trainworks"):
        for _ in range(1200):
            bar.update()
        bar.close()
    assert [record.getMessage() for record in caplog.records] == ["prepare   1 of 8,000 pictures"]
    assert capsys.readouterr().err == ""


def test_short_work_says_nothing(caplog, capsys):
    """Neither here nor there."""
    with caplog.at_level(logging.INFO, "trainworks"):
        assert list(progress.Bar(range(100), "shards")) == list(range(100))
    assert caplog.records == [] and capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, caplog, capsys):
    """As people at a terminal know it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = progress.Bar(desc="prepare", total=10, unit=" pictures")
    bar.start_t -= 60
    with caplog.at_level(logging.INFO, "trainworks"):
        bar.update(5)
        bar.refresh()
        bar.close()
    assert "prepare:  50%" in capsys.readouterr().err and caplog.records == []


def test_a_silent_stage_says_that_it_goes_on(caplog, monkeypatch):
    """As long as nothing else is said; what is over says nothing more."""
    monkeypatch.setattr(progress, "EVERY", 0.2)
    with caplog.at_level(logging.INFO, "trainworks"):
        with progress.going_on("trace"):
            for _ in range(5):
                time.sleep(0.1)
                progress.hear()
            assert not caplog.records
            time.sleep(0.5)
        said = [record.getMessage() for record in caplog.records]
        time.sleep(0.3)
    assert 1 <= len(said) == len(caplog.records) <= 3 and said[0].startswith("trace     goes on, for ")
