"""PhotoStock's launch plans: an experiment file under a name that the console shows as a form.

pyflyte --config flyte.config.yaml run remote-launchplan photostock.smoke                                      # as registered
pyflyte --config flyte.config.yaml run --remote --copy all --destination-dir . workflows/launch_plans.py smoke  # as it is here
"""

from flytekit import CronSchedule, Email, WorkflowExecutionPhase

from tasks.deployment import recipients
from tasks.experiments import name_left_out, names, plan
from workflows.photostock import photostock
from workflows.sweep import sweep

BAD_ENDS = [WorkflowExecutionPhase.FAILED, WorkflowExecutionPhase.TIMED_OUT, WorkflowExecutionPhase.ABORTED]

smoke = plan(photostock, "photostock.smoke")
baseline = plan(photostock, "photostock.baseline")
nightly = plan(
    photostock,
    "photostock.nightly",
    fixed=("source", "release_to"),
    schedule=CronSchedule(schedule="0 2 * * *"),  # UTC
    notifications=[Email(BAD_ENDS, recipients())] if recipients() else [],
)
swept = plan(sweep, "photostock.sweep")
others = [name for name in names("photostock") if name not in ("smoke", "baseline", "nightly", "sweep")]
published = [each for name in others if (each := plan(photostock, f"photostock.{name}"))]
name_left_out()
