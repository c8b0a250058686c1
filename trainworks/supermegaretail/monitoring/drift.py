"""Does a panel look like the one that a bundle was made from?"""

from pathlib import Path

from trainworks import drift as drifts
from trainworks.errors import DataError, IntegrityError
from trainworks.release import stored
from trainworks.supermegaretail.monitoring import profile
from trainworks.supermegaretail.panel.panel import Panel


def drift(uri: str, panel: Path) -> tuple[list[drifts.Measured], int]:
    """Each quantity of `profile.quantities` in the newest periods of *panel* beside the bundle's at *uri*, and how many series there are.

    Raises:
        IntegrityError: the bundle is damaged, or has no profile.
        DataError: too few series to compare, or another period.
    """
    known = stored.locate(uri).json(profile.FILE)
    if known is None:
        raise IntegrityError(f"{uri}: has no {profile.FILE}; package the run again")
    newer = Panel.load(panel)
    if newer.period != known["period"]:
        raise DataError(f"{panel}: its period is a {newer.period}, that of the bundle a {known['period']}; use the same grain")
    values = profile.quantities(newer)
    count = len(next(iter(values.values())))
    if count < drifts.LEAST:
        raise DataError(f"{panel}: {count} series were on sale of late; a distribution needs at least {drifts.LEAST}")
    both = [name for name in known["measures"] if name in values]
    return [drifts.compare(name, known["measures"][name], values[name]) for name in both], count
