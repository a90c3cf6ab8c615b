"""Load a split of a data set by name."""

from __future__ import annotations

from zoo.data.names import check_data_name
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.splits import check_split


def load_data(name: str, split: str = "test") -> Pixels:
    """Labelled images of one split, on the CPU.

    Args:
        name: a name of ``zoo.data.names.DATASETS``, ``folder:PATH`` or ``parquet:PATH``.
        split: train, validation, test, or train+validation, which is the first two together.

    Raises:
        UsageError: an unknown name or split, or images that do not make a data set.
        NotFoundError: the data set or split is not there and could not be downloaded.
        IntegrityError: files that are broken, or not the ones that were published.
    """
    source, _, path = check_data_name(name).partition(":")
    spec = {"name": source, "split": check_split(split)}
    return sources.build(spec | {"path": path} if path else spec)
