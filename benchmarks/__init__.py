"""Trainworks side by side with the programs one would use instead: ``make bench`` writes ``RESULTS.md``."""
