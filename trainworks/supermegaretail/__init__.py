"""Supermegaretail: the demand of every product in every store for the coming periods, with quantiles."""
