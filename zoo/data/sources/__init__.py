"""Sources of images: one file a data set, found because it lies here.

To add one, add a file with a function ``(split) -> Pixels`` under ``@sources.register(name)``, and
its line in ``zoo.data.names.DATASETS``. Libraries that are slow to import and that only one source
needs (torchvision, scikit-learn, pyarrow) are imported inside functions, since a lookup imports
every file here.
"""

from __future__ import annotations

from collections.abc import Callable

from zoo.data.pixels import Pixels
from zoo.registry import Registry

sources: Registry[Callable[..., Pixels]] = Registry(
    "dataset", "zoo.data.sources", see="zoo certify --help"
)
