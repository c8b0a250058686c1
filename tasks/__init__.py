"""Every stage as a Flyte task."""
