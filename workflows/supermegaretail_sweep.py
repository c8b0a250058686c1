"""A sweep: which knobs of Supermegaretail's models lose least at all origins but the test.

pyflyte run workflows/supermegaretail_sweep.py sweep --space "head = negative_binomial | log_residual | empirical" --trials 3 --sampler grid
"""

from functools import partial

from flytekit import map_task, workflow

from tasks import supermegaretail
from tasks import supermegaretail_sweep as tasks
from tasks.knobs import as_dict, flat
from tasks.sweep import Sampler, Swept
from trainworks.supermegaretail.backtest.knobs import BacktestConfig, TrialConfig
from trainworks.supermegaretail.cleaning.knobs import CleanConfig
from trainworks.supermegaretail.panel.knobs import PanelConfig
from trainworks.supermegaretail.tables.knobs import TablesConfig
from workflows.supermegaretail import panel_by_engine


@workflow
@flat(as_dict, tables=TablesConfig, cleaning=CleanConfig, backtest=BacktestConfig, model=TrialConfig)
def sweep(
    tables: dict,
    cleaning: dict,
    backtest: dict,
    model: dict,
    source: str = "sample",
    grain: str = PanelConfig.grain,
    keep: str = PanelConfig.keep,
    horizon: int = PanelConfig.horizon,
    panel_on: str = PanelConfig.panel_on,
    space: str = "features = lag(1, 2, 4) + mean(4, 13) | lag(1, 2, 3, 4, 8) + mean(4, 8, 13) + ewm(0.2) + season",
    trials: int = 2,
    parallel: int = 4,
    sampler: Sampler = Sampler.TPE,
) -> Swept:
    """Tune what decides how a model forecasts; deliver a table of the trials, the winner as an experiment file, and a page with plots.

    The same command again goes on where the last one was stopped, and with more trials where it ended.

    Args:
        source: sample, a folder, or an s3:// prefix with tables named by file or sub-folder; sales are needed
        grain: what a series is, and its period: keys, then day, week or month
        keep: the most sold that are kept, such as series(1000); empty keeps all
        horizon: periods to forecast, counted from the origin
        panel_on: what the panel is made with: duckdb on one machine, spark on a cluster
        space: what is tried, of features, covariates, models, head and their like: knob = choices a | b, parted by ;
        trials: settings that are tried
        parallel: trials of one round; the next round learns from it. Locally they run one after the other
        sampler: grid (all settings in order), random, or tpe, which draws where earlier trials were good once ten are done
    """
    wanted = {"source": source, "space": space, "sampler": sampler}
    made = {"grain": grain, "keep": keep, "horizon": horizon, "panel_on": panel_on}
    knobs = {**tables, **cleaning, **made, **backtest, **model}
    checked = tasks.check(**knobs, **wanted, trials=trials, parallel=parallel).with_overrides(node_name="check")
    rows = supermegaretail.acquire(source=source, **tables).with_overrides(node_name="acquire")
    clean = map_task(partial(supermegaretail.clean, **cleaning | {"timezone": checked.timezone}))
    lines = clean(rows=rows).with_overrides(node_name="clean")
    panel = panel_by_engine(checked.panel_on, lines, {**made, "covariates": model["covariates"]})

    tried = {"space": space, "sampler": sampler, "trials": trials, "parallel": parallel}
    searched = tasks.search(panel=panel, horizon=horizon, **backtest, **model, **tried).with_overrides(node_name="search")
    # Bad knobs must stop the run before a table is read. It takes one output: all of them together order nothing on a cluster.
    checked.timezone >> rows
    return tasks.conclude(asked=searched.asked, answered=searched.answered, panel=panel, **knobs, **wanted).with_overrides(
        node_name="conclude"
    )
