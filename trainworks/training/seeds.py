"""Where all random draws of a training by Lightning start."""

import logging
import warnings

import pytorch_lightning as pl


def seed(number: int) -> None:
    """Start all random draws at *number*, before a net is built, and silence Lightning's hints."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hints at hardware and products
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec", module="pytorch_lightning")
    warnings.filterwarnings("ignore", "It is recommended to use `self.log", module="pytorch_lightning")  # all ranks log the same
    pl.seed_everything(number, verbose=False)
