"""The torch-free table of architectures against timm's registry."""

from __future__ import annotations

import pytest
import timm

import zoo.models  # noqa: F401
from zoo.architectures import architectures, check_architecture
from zoo.errors import UsageError


def test_the_table_and_the_registry_agree():
    ours = [
        name for name in timm.list_models() if timm.model_entrypoint(name).__module__[:4] == "zoo."
    ]
    assert sorted(ours) == architectures()


def test_every_architecture_takes_what_the_table_says():
    for name in architectures():
        arguments = {"width": 8, "mean": 0.1, "std": 0.5, "num_classes": 3, "in_chans": 2}
        check_architecture(name, [*arguments, "img_size", "folded"], sizes=True)
        net = timm.create_model(name, img_size=4, **arguments)
        assert net.num_classes == 3 and net.input_shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        ("linf_dist_mlp9", [], "did you mean: linf_dist_mlp"),
        ("resnet18", [], "unknown architecture"),
        ("hf-hub:someone/something", [], "unknown architecture"),
        ("linf_dist_mlp3", ["widht"], "did you mean: width"),
        ("linf_dist_mlp3", ["checkpoint_path"], "unknown argument"),
        ("linf_dist_mlp3", ["num_classes"], "unknown argument"),
    ],
)
def test_other_names_and_arguments_are_refused(name, arguments, word):
    with pytest.raises(UsageError, match=word):
        check_architecture(name, arguments)
