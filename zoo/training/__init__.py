"""Training: from a recipe to a run folder, on accelerate."""

from zoo.training.loop import train

__all__ = ["train"]
