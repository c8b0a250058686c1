"""The room's commands."""

import pyarrow.parquet as pq

from tests.supermegaretail import toy_forecaster, toy_panel
from trainworks.__main__ import main


def test_forecasts_come_as_a_table(delivered, tmp_path, capsys):
    """CSV on the terminal, parquet in a file; ids stay text, and newer sales are heard."""
    bundle = str(delivered["bundle"])
    assert main(["supermegaretail", "forecast", bundle]) == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.replace('"', "").startswith("store,product,start,mean,q0.015") and first.startswith('"0000","P0",2024-02-26')
    (tmp_path / "sales.csv").write_text("store,product,date,quantity\n0000,P0,2024-02-28,900\n")
    assert main(["supermegaretail", "forecast", bundle, "--sales", str(tmp_path / "sales.csv"), "--to", str(tmp_path / "f.parquet")]) == 0
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    assert str(rows[0]["start"]) == "2024-03-04" and rows[0]["mean"] > 100


def test_bad_sales_are_one_line_on_the_terminal(delivered, tmp_path, capsys):
    """With what was expected."""
    (tmp_path / "sales.csv").write_text("store,product,day,quantity\n0000,P0,2024-02-28,9\n")
    assert main(["supermegaretail", "forecast", str(delivered["bundle"]), "--sales", str(tmp_path / "sales.csv")]) == 1
    assert capsys.readouterr().err == "error: sales: unknown column 'day', expected store, product, date, quantity\n"


def test_drift_ends_with_a_status(delivered, tmp_path, capsys):
    """0 for the panel itself, 1 for one that sells five times as much, 2 for what is no panel to compare."""
    bundle = str(delivered["bundle"])
    assert main(["supermegaretail", "drift", bundle, str(delivered["panel"])]) == 0
    loud = toy_panel.panel(stores=10, planned=0)
    loud.demand[:] *= 5
    for name, panel in (("loud", loud), ("few", toy_panel.panel(planned=0))):
        (tmp_path / name).mkdir()
        panel.save(tmp_path / name)
    assert main(["supermegaretail", "drift", bundle, str(tmp_path / "loud")]) == 1
    assert main(["supermegaretail", "drift", bundle, str(tmp_path / "few")]) == 2
    assert "12 series were on sale of late" in capsys.readouterr().err


def test_a_release_without_a_profile_is_named(tmp_path, capsys):
    """Such as the folder of a stage."""
    folder = toy_forecaster.write(toy_panel.panel(planned=0), tmp_path / "forecaster")
    assert main(["supermegaretail", "drift", str(folder), str(folder)]) == 2
    assert "has no profile.json" in capsys.readouterr().err
