"""Recipes: everything a training run is a function of, as data."""

from zoo.recipes.load import list_recipes, load_recipe, recipe_path
from zoo.recipes.schema import Recipe

__all__ = ["Recipe", "list_recipes", "load_recipe", "recipe_path"]
