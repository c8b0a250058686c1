"""PhotoStock's launch plans: an experiment file under a name that the console shows as a form.

pyflyte --config flyte.config.yaml run remote-launchplan photostock.smoke                                      # as registered
pyflyte --config flyte.config.yaml run --remote --copy all --destination-dir . workflows/launch_plans.py smoke  # as it is here
"""

from flytekit import CronSchedule

from tasks.deployment import notifications
from tasks.experiments import name_left_out, names, plan
from workflows.photostock import photostock
from workflows.sweep import sweep

smoke = plan(photostock, "photostock.smoke")
baseline = plan(photostock, "photostock.baseline")
nightly = plan(
    photostock,
    "photostock.nightly",
    fixed=("source", "release_to"),
    schedule=CronSchedule(schedule="0 2 * * *"),  # UTC
    notifications=notifications(),
)
swept = plan(sweep, "photostock.sweep")
others = [name for name in names("photostock") if name not in ("smoke", "baseline", "nightly", "sweep")]
published = [each for name in others if (each := plan(photostock, f"photostock.{name}"))]
name_left_out()
