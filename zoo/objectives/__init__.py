"""Objectives: what training minimises. A recipe names one; adding one = adding a file."""

from zoo.objectives.base import Knobs, Loss, Objective, objectives

__all__ = ["Knobs", "Loss", "Objective", "objectives"]
