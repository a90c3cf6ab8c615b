"""The torch-free table of architectures against timm's registry."""

from __future__ import annotations

import pytest
import timm

import zoo.models  # noqa: F401
from zoo.architectures import architectures, check_architecture, check_values
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


def test_only_nets_that_can_be_pruned_take_edges():
    takers = [name for name in architectures() if _takes(name, "edges")]
    assert takers == [name for name in architectures() if name.startswith("linf_dist_mlp")]
    assert _takes("linf_dist_hybrid5", "head_width") and not _takes("linf_dist_mlp5", "head_width")
    assert _takes("linf_dist_conv5", "channels") and not _takes("linf_dist_hybrid5", "channels")


def _takes(name: str, argument: str) -> bool:
    try:
        check_architecture(name, [argument], sizes=True)
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("key", ["width", "head_width", "channels"])
@pytest.mark.parametrize("value", [0, -1, True, 2.0, "8", [8], None, 2**31])
def test_sizes_are_whole_numbers_above_zero(key, value):
    check_values({key: 8})
    with pytest.raises(UsageError, match=f"{key} = .*whole number"):
        check_values({key: value})


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
