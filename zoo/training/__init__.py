"""Training: from a recipe to a run folder, on accelerate."""

from zoo.training.loop import run_training
from zoo.training.processes import is_main_process
from zoo.training.run import RunFolder

__all__ = ["RunFolder", "is_main_process", "run_training"]
