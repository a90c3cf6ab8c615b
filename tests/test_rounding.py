"""The rounding module at its limits; that it encloses is shown in soundness/test_rational.py."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from torch import nn

from zoo.bounds import bounds
from zoo.boxes import box
from zoo.certification import certify
from zoo.errors import UsageError, ZooError
from zoo.rounding import (
    Ledger,
    cast_down,
    cast_up,
    deployed_slack,
    ordered_error,
    ordered_slack,
    real_slack,
    snapshot,
    strict_numerics,
)
from zoo.rules import describe

DTYPES = [torch.float16, torch.float32, torch.float64]
UPWARD, DOWNWARD, TO_ZERO = 0x800, 0x400, 0xC00  # of fesetround, on x86


@pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 43), (torch.float32, 4094)])
def test_sums_in_one_order_are_covered_up_to_a_length_and_refused_beyond_it(dtype, most) -> None:
    total, unit = torch.ones(1, dtype=dtype), torch.finfo(dtype).eps / 2
    worst = Fraction(1 + Fraction(unit)) ** (most + 1) - 1  # all roundings go the same way
    assert worst <= Fraction(ordered_error(most, total, unit).item())
    assert worst <= Fraction(ordered_slack(most, total).item())
    for ask in (
        lambda: ordered_slack(most + 1, total),
        lambda: ordered_error(most + 1, total, unit),
    ):
        with pytest.raises(UsageError, match="with fewer order statistics"):
            ask()


@pytest.mark.parametrize("dtype", DTYPES)
def test_slack_grows_with_the_sum_and_never_with_precision(dtype) -> None:
    magnitude = torch.tensor([0.0, 1.0, 4.0], dtype=dtype)
    short, long = real_slack(1, magnitude), real_slack(3, magnitude)
    assert (short[1:] < long[1:]).all() and (short > 0).all()
    both = deployed_slack(3, magnitude.double(), torch.float32)
    assert (both > real_slack(3, magnitude.double())).all()


@pytest.mark.parametrize(
    ("slack", "terms"),
    [
        (lambda n: real_slack(n, torch.ones(1)), 10**5),
        (lambda n: real_slack(n, torch.ones(1).half()), 20),
        (lambda n: deployed_slack(n, torch.ones(1).double(), torch.float32), 10**5),
        (lambda n: real_slack(n, torch.ones(1).double()), 10**14),
    ],
)
def test_a_sum_too_long_for_its_bound_is_refused(slack, terms) -> None:
    assert (slack(4) > 0).all()
    with pytest.raises(UsageError, match="no rounding bound"):
        slack(terms)


def test_a_backward_bound_too_deep_for_its_slack_is_refused() -> None:
    def slack(num_records: int) -> torch.Tensor:
        ledger = Ledger()
        for _ in range(num_records):
            ledger.record(torch.ones(1, 1, 4), torch.ones(1, 1, 4))
        return ledger.slack()

    assert (slack(6) > 0).all()
    with pytest.raises(UsageError, match="no rounding bound"):
        slack(600)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_casts_go_to_one_side_and_no_farther(dtype) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2000, generator=g, dtype=torch.float64) * 10 ** torch.randint(-4, 4, (2000,))
    low, high = cast_down(x, dtype), cast_up(x, dtype)
    assert (low.double() <= x).all() and (x <= high.double()).all()
    assert (torch.nextafter(low, torch.full_like(low, math.inf)) >= high).all()
    assert torch.equal(cast_down(low.double(), dtype), low)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="modes of x86")
@pytest.mark.parametrize("mode", [UPWARD, DOWNWARD, TO_ZERO])
def test_another_rounding_direction_is_refused(mode) -> None:
    libm = ctypes.CDLL(None)
    libm.fesetround(mode)
    try:
        seen = snapshot()["round_to_nearest"]
        with pytest.raises(UsageError, match="round to nearest"), strict_numerics():
            pass
    finally:
        libm.fesetround(0)
    assert not seen and snapshot()["round_to_nearest"]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="modes of x86")
@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        ("pass", "none"),
        ("torch.set_flush_denormal(True)", "worker threads"),
        ("ctypes.CDLL(None).fesetround(0x800)", "round to nearest"),
    ],
)
def test_worker_threads_that_were_born_under_other_settings_are_found(setting, refusal) -> None:
    program = f"""
import ctypes, torch
from zoo.rounding import strict_numerics
torch.set_num_threads(2)
{setting}
torch.rand(2**20) + 1  # the workers begin here
torch.set_flush_denormal(False)
ctypes.CDLL(None).fesetround(0)
try:
    with strict_numerics():
        print("none")
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert refusal in done.stdout


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("NVIDIA_TF32_OVERRIDE", "1", True),
        ("NVIDIA_TF32_OVERRIDE", "0", False),
        ("CUBLAS_EMULATE_SINGLE_PRECISION", "1", True),
    ],
)
def test_an_environment_that_forces_reduced_precision_is_refused(
    key, value, refused, monkeypatch
) -> None:
    monkeypatch.setenv(key, value)
    if refused:
        with pytest.raises(UsageError, match=key), strict_numerics():
            pass
    else:
        with strict_numerics() as numerics:
            assert numerics["environment"] == [f"{key}={value}"]


def test_a_setting_that_changes_inside_is_found() -> None:
    general = torch.backends.fp32_precision
    with pytest.raises(ZooError, match="changed while certifying"), strict_numerics():
        torch.backends.cudnn.conv.fp32_precision = "tf32"
    assert torch.backends.fp32_precision == general and torch.backends.cudnn.enabled


def test_affine_nets_are_certified_by_the_interval_bound() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
    net.eval()
    x_BCHW = torch.rand(20, 1, 8, 8)
    with torch.no_grad():
        y_B = net(x_BCHW).argmax(1)
    certificate = certify(net, x_BCHW, y_B, "1/1000")
    assert certificate.bound == "interval" and certificate.certified_B.any()
    # Rounding costs something, and the program more than the exact function.
    within = box(x_BCHW, "1/1000")
    with torch.no_grad():
        naive_BK = bounds["interval"]()(net, within, y_B)
        deployed_BK = bounds["interval"]().deployed(net, within, y_B)
    wrong_BK = torch.ones_like(naive_BK, dtype=torch.bool).scatter(1, y_B[:, None], False)
    gap = (naive_BK - deployed_BK)[wrong_BK]
    assert (gap > 0).all() and (gap < 1e-3).all()
    assert bounds["interval"]()(net, within, y_B).requires_grad  # it can be trained with


def test_a_convolution_that_has_no_rule_or_no_kind_is_refused() -> None:
    padded = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")
    net = nn.Sequential(padded, nn.Flatten()).eval()
    with pytest.raises(UsageError, match="padding_mode"):
        certify(net, torch.rand(1, 1, 4, 4), torch.tensor([0]), 0.1)
    for layer in (
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(1, 1, 3, dilation=2),
        nn.Conv2d(1, 1, 3, stride=(1, 2)),
        nn.Conv2d(1, 1, 3, padding="same"),
        padded,
    ):
        with pytest.raises(UsageError, match="describe"):
            describe(layer, "conv")
    assert describe(nn.Conv2d(1, 1, 3, stride=2, padding=1), "a.conv") == [
        {"kind": "conv2d", "name": "a.conv", "stride": 2, "padding": 1}
    ]
