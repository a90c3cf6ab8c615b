"""The configurations in launch/: accelerate reads them, and they say how to start."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from processes_harness import ROOT

FILES = sorted((ROOT / "launch").iterdir())
# How many machines and processes, and on which kind of device.
MEANT = {
    "one_gpu": (1, 1, "NO"),
    "eight_gpus": (1, 8, "MULTI_GPU"),
    "two_machines": (2, 16, "MULTI_GPU"),
    "two_cpus": (1, 2, "MULTI_GPU"),
}


def test_there_are_four() -> None:
    assert {file.name for file in FILES} == {f"{name}.yaml" for name in MEANT}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_configuration_is_one_of_accelerate_s_and_says_how_to_use_it(file: Path) -> None:
    loaded = load_config_from_file(str(file))
    meant = loaded.num_machines, loaded.num_processes, loaded.distributed_type.value
    assert meant == MEANT[file.stem]
    assert loaded.mixed_precision == "no" and loaded.fsdp_config == loaded.deepspeed_config == {}
    assert loaded.use_cpu == ("cpu" in file.stem)
    lines = file.read_text().splitlines()
    header = "".join(line for line in lines[:8] if line.startswith("#"))
    assert f"accelerate launch --config_file launch/{file.name} " in header
    assert "-m zoo train RECIPE" in header
