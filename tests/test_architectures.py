"""The torch-free table of architectures against timm's registry."""

from __future__ import annotations

import pytest
import timm

import zoo.models  # noqa: F401
from zoo.architectures import INITS, VIEWS, architectures, check_architecture, check_values
from zoo.errors import UsageError
from zoo.models.linf_average import _VIEWS
from zoo.models.narrow import INITIALISERS

PLAIN = {"width": 8, "mean": 0.1, "std": 0.5}
MEMBER = {"arch": "linf_dist_mlp3", "args": {"width": 8}}
OWN = {
    "linf_average": {"members": [MEMBER], "views": ["same", "flip"], "folded": True},
    "cnn3": {"channels": 4, "mean": 0.1, "std": 0.5},  # it has no hidden linear layer
}


def test_the_table_and_the_registry_agree():
    ours = [
        name for name in timm.list_models() if timm.model_entrypoint(name).__module__[:4] == "zoo."
    ]
    assert sorted(ours) == architectures()


def test_every_architecture_takes_what_the_table_says():
    for name in architectures():
        arguments = {"num_classes": 3, "in_chans": 2} | OWN.get(name, PLAIN)
        check_architecture(name, [*arguments, "img_size", "folded"], sizes=True)
        net = timm.create_model(name, img_size=16, **arguments)
        assert net.num_classes == 3 and net.input_shape == (2, 16, 16)


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


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"k": 65}, "from 1 to 64"),  # their weights are fractions: thousands of them take minutes
        ({"k": 0}, "from 1 to 64"),
        ({"rho": 1}, r"in \[0, 1\)"),
        ({"rho": 10**400}, r"in \[0, 1\)"),
        ({"std": 10**400}, "finite number"),
        ({"mean": [0.1, -(10**400)]}, "one number or a list"),
        ({"keep": float("nan")}, r"in \(0, 1\]"),
    ],
)
def test_numbers_of_no_meaning_are_refused(arguments, word):
    with pytest.raises(UsageError, match=word):
        check_values(arguments)


def test_views_and_initialisations_have_the_names_that_the_table_knows():
    assert tuple(_VIEWS) == VIEWS
    assert tuple(INITIALISERS) == INITS


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"members": []}, "1 to 64 nets"),
        ({"members": [MEMBER] * 65}, "1 to 64 nets"),
        ({"members": "linf_dist_mlp3"}, "1 to 64 nets"),
        ({"members": {"arch": "linf_dist_mlp3"}}, "1 to 64 nets"),
        ({"members": [None]}, "is not of the form"),
        ({"members": [{"arch": "linf_dist_mlp3"}]}, "is not of the form"),
        ({"members": [MEMBER | {"more": 1}]}, "is not of the form"),
        ({"members": [MEMBER | {"arch": ["linf_dist_mlp3"]}]}, "is not of the form"),
        ({"members": [MEMBER | {"args": [8]}]}, "is not of the form"),
        ({"members": [MEMBER | {"arch": "resnet18"}]}, "unknown architecture"),
        ({"members": [MEMBER | {"arch": "local-dir:/etc"}]}, "unknown architecture"),
        ({"members": [{"arch": "linf_average", "args": OWN["linf_average"]}]}, "no averages among"),
        ({"members": [MEMBER | {"args": {"widht": 8}}]}, "did you mean: width"),
        ({"members": [MEMBER | {"args": {"checkpoint_path": "x"}}]}, "unknown argument"),
        ({"members": [MEMBER | {"args": {"width": 8, "num_classes": 3}}]}, "only the average says"),
        ({"members": [MEMBER | {"args": {"width": 8, "folded": False}}]}, "only the average says"),
        ({"members": [MEMBER | {"args": {"width": 0}}]}, "a size must be positive"),
        ({"members": [MEMBER | {"args": {"width": True}}]}, "a size must be positive"),
        ({"members": [MEMBER | {"args": {"edges": [0]}}]}, "positive whole numbers"),
        ({"views": []}, "each once"),
        ({"views": "same"}, "each once"),
        ({"views": ["same", "same"]}, "each once"),
        ({"views": ["same", "sideways"]}, "each once"),
        ({"views": [["same"]]}, "each once"),
    ],
)
def test_members_and_views_are_checked_as_strictly_as_other_arguments(arguments, word):
    with pytest.raises(UsageError, match=word):
        check_values(arguments)
    with pytest.raises(UsageError, match=word):
        timm.create_model("linf_average", img_size=8, **OWN["linf_average"] | arguments)
