"""Trainworks: a company's data in, a model that production can use out."""

__version__ = "0.1.0"
