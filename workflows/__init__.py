"""The pipelines, as Flyte workflows."""
