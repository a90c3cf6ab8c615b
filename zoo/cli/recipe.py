"""zoo recipe: list, show, copy out, check."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose

if TYPE_CHECKING:
    from zoo.recipes import Recipe

recipe = typer.Typer(help="Recipes: ls, show, cp, check.", no_args_is_help=True)
_NAME = Annotated[str, typer.Argument(help="A recipe's name, or a YAML file.")]


@recipe.command()
def ls(
    json: Json = False, quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False
) -> None:
    """List the recipes that come with the zoo; -v shows their files."""
    from zoo.cli.show import print_json
    from zoo.recipes import list_recipes, recipe_path

    if json:
        print_json(list_recipes())
    else:
        for name in list_recipes():
            print(recipe_path(name) if verbose else name)


@recipe.command()
def show(
    name: _NAME,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Print a recipe with its parent merged in and every default written out."""
    from zoo.recipes import load_recipe

    print_recipe(load_recipe(name), json=json)


@recipe.command()
def cp(
    name: Annotated[str, typer.Argument(help="A recipe's name.")],
    to: Annotated[Path, typer.Argument(help="File or folder to copy to.")] = Path(),
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Copy a recipe out, to change it; its parent is found by name."""
    from zoo.cli.show import print_json
    from zoo.errors import UsageError
    from zoo.recipes import recipe_path

    source = recipe_path(name)
    target = to / source.name if to.is_dir() else to
    if target.exists():
        raise UsageError(f"{target} exists\n  give another file name")
    shutil.copyfile(source, target)
    if json:
        print_json([{"path": str(target)}])
    else:
        print(target)


@recipe.command()
def check(
    names: Annotated[list[str], typer.Argument(help="Names or YAML files.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Check recipes, and show all that is wrong with them at once."""
    from zoo.cli.show import print_json
    from zoo.errors import UsageError, ZooError
    from zoo.recipes import load_recipe

    good: list[str] = []
    errors: list[ZooError] = []
    for name in names:
        try:
            load_recipe(name)
            good.append(name)
        except ZooError as error:
            errors.append(error)
    if json:
        print_json(good)
    else:
        for name in good:
            print(name if quiet else f"{name}: ok")
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UsageError("\n".join(map(str, errors)))


def print_recipe(recipe: Recipe, *, json: bool) -> None:
    """A recipe as YAML, or as JSON."""
    import yaml

    if json:
        print(recipe.model_dump_json(indent=2))
    else:
        content = recipe.model_dump(mode="json")
        print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")
