"""zoo env: what this machine and installation have."""

from __future__ import annotations

from zoo.cli.options import Debug, Json, Quiet, Verbose

_LIBRARIES = "torch torchvision timm accelerate safetensors numpy pydantic".split()


def env(
    json: Json = False, quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False
) -> None:
    """Show versions, devices, folders, and which kernels the ops run on."""
    import platform
    from importlib.metadata import version

    import torch

    from zoo.cli.show import print_fields, print_json
    from zoo.data.names import data_root
    from zoo.ops.native import describe
    from zoo.paths import recipes_dir, weights_dir
    from zoo.version import __version__, source_commit

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    fields: dict[str, str | int] = {
        "zoo": __version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "cpu threads": torch.get_num_threads(),
        "cuda": cuda,
        "ops": describe(),
        "data": str(data_root()),
        "recipes": str(recipes_dir()),
        "weights": str(weights_dir()),
    }
    if torch.cuda.is_available():
        fields["cuda ops"] = describe("cuda")
    if json:
        print_json([fields])
    else:
        print_fields(fields)
