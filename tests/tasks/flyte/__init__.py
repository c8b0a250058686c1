"""A Flyte control plane for tests: it refuses what the real one refuses, and runs what it accepts.

Every rule is one function whose docstring names the file of Flyte v1.16.8 or of Kubernetes 1.34 that has it.
"""
