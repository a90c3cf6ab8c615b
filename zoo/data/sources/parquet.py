"""``parquet:PATH``: the user's own images in parquet files, in the Hugging Face layout."""

from __future__ import annotations

from pathlib import Path

from zoo.data.parts import pixels_of_parts
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.errors import NotFoundError, UsageError


@sources.register("parquet")
def parquet(split: str, path: str) -> Pixels:
    """A file, which is a test split; or a folder of train-*, validation-* and test-*.parquet."""
    # pyarrow is slow to import, and only parquet files need it.
    from zoo.data.parquet import count_class_names, read_parquet

    files = _files_of_parts(Path(path).expanduser())
    parts = {key: read_parquet(part_files) for key, part_files in files.items() if part_files}
    labels = [part.y_N.max().item() for part in parts.values() if len(part.y_N)]
    named = [count_class_names(file) for part_files in files.values() for file in part_files]
    num_classes = int(max([label + 1 for label in labels] + named, default=0))
    return pixels_of_parts(f"parquet:{path}", split, parts, num_classes)


def _files_of_parts(root: Path) -> dict[str, list[Path]]:
    if root.is_file():
        return {"test": [root]}
    files = sorted(root.glob("*.parquet"))
    if not files:
        raise NotFoundError(
            f"no parquet file at {root}\n"
            "  give a .parquet file, or a folder that has some in it (not in its sub-folders)"
        )
    parts = {
        part: [file for file in files if file.name.startswith((f"{part}-", f"{part}."))]
        for part in ("train", "validation", "test")
    }
    if not any(parts.values()):
        raise UsageError(
            f"no file of {root} names its split: {', '.join(file.name for file in files[:5])}\n"
            "  names begin with train-, validation- or test-; or give one file, as a test split"
        )
    return parts
