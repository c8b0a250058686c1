"""Supermegaretail's launch plans: an experiment file under a name that the console shows as a form.

pyflyte --config flyte.config.yaml run remote-launchplan supermegaretail.smoke
"""

from flytekit import CronSchedule

from tasks.deployment import notifications
from tasks.experiments import name_left_out, names, plan
from workflows.supermegaretail import supermegaretail, watch, weekly
from workflows.supermegaretail_sweep import sweep

smoke = plan(supermegaretail, "supermegaretail.smoke")
baseline = plan(supermegaretail, "supermegaretail.baseline")
every_week = plan(
    weekly,
    "supermegaretail.weekly",
    fixed=("source", "release_to", "forecasts_to"),
    schedule=CronSchedule(schedule="0 3 * * 1"),  # Mondays, UTC
    notifications=notifications(),
)
watched = plan(
    watch,
    "supermegaretail.watch",
    fixed=("source", "release", "forecasts"),
    schedule=CronSchedule(schedule="0 6 * * 1"),  # Mondays, UTC
    notifications=notifications(),
)
swept = plan(sweep, "supermegaretail.sweep")
others = [name for name in names("supermegaretail") if name not in ("smoke", "baseline", "weekly", "watch", "sweep")]
workflows = {name: sweep if name.startswith("sweep-") else supermegaretail for name in others}
published = [each for name, workflow in workflows.items() if (each := plan(workflow, f"supermegaretail.{name}"))]
name_left_out()
