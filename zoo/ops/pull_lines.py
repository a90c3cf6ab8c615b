"""Linear forms pulled through lines around each entry of a value: one step of a backward bound.

Shapes: B batch, S rows (linear forms), D entries; T lines for each entry, 1 or S of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops.define import zoo_op


def pull_lines(
    rows_BSD: Tensor,
    lower_slope_BTD: Tensor,
    lower_offset_BTD: Tensor,
    upper_slope_BTD: Tensor,
    upper_offset_BTD: Tensor,
) -> tuple[Tensor, Tensor]:
    """Forms c over y as forms c' over x, and constants d, with <c, y> >= <c', x> + d.

    For lower_slope x + lower_offset <= y <= upper_slope x + upper_offset, entry by entry, a
    coefficient takes the lower line where it is positive, and the upper one elsewhere:

        c'_i = c_i slope_i        d = sum_i c_i offset_i

    Any numbers are taken; NaN and infinity do to their own entry and row what they do in torch.
    Differentiable once in all arguments.

    Args:
        rows_BSD: coefficients c.
        lower_slope_BTD, lower_offset_BTD, upper_slope_BTD, upper_offset_BTD: lines, for all rows
            where T = 1 and one each where T = S; of the rows' dtype.

    Returns:
        pulled_BSD, each entry rounded once; constant_BS, sums in any order.
    """
    return _pull_lines(
        rows_BSD, lower_slope_BTD, lower_offset_BTD, upper_slope_BTD, upper_offset_BTD
    )


@zoo_op("pull_lines", devices=["cpu"])
def _pull_lines(
    rows_BSD: Tensor,
    lower_slope_BTD: Tensor,
    lower_offset_BTD: Tensor,
    upper_slope_BTD: Tensor,
    upper_offset_BTD: Tensor,
) -> tuple[Tensor, Tensor]:
    above_BSD = rows_BSD > 0
    slope_BSD = torch.where(above_BSD, lower_slope_BTD, upper_slope_BTD)
    offset_BSD = torch.where(above_BSD, lower_offset_BTD, upper_offset_BTD)
    return rows_BSD * slope_BSD, (rows_BSD * offset_BSD).sum(2)


@_pull_lines.register_fake
def _(
    rows_BSD: Tensor,
    lower_slope_BTD: Tensor,
    lower_offset_BTD: Tensor,
    upper_slope_BTD: Tensor,
    upper_offset_BTD: Tensor,
) -> tuple[Tensor, Tensor]:
    return rows_BSD.new_empty(rows_BSD.shape), rows_BSD.new_empty(rows_BSD.shape[:2])


@zoo_op("pull_lines_backward", devices=["cpu"])
def _pull_lines_backward(
    grad_BSD: Tensor,
    grad_BS: Tensor,
    rows_BSD: Tensor,
    lower_slope_BTD: Tensor,
    lower_offset_BTD: Tensor,
    upper_slope_BTD: Tensor,
    upper_offset_BTD: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    above_BSD = rows_BSD > 0
    grad_BS1 = grad_BS[..., None]
    slope_BSD = torch.where(above_BSD, lower_slope_BTD, upper_slope_BTD)
    offset_BSD = torch.where(above_BSD, lower_offset_BTD, upper_offset_BTD)

    def shared(by_line_BSD: Tensor) -> Tensor:
        one_for_all = lower_slope_BTD.shape[1] == 1
        return by_line_BSD.sum(1, keepdim=True) if one_for_all else by_line_BSD

    by_slope_BSD, by_offset_BSD = grad_BSD * rows_BSD, grad_BS1 * rows_BSD
    zero = rows_BSD.new_zeros(())
    return (
        grad_BSD * slope_BSD + grad_BS1 * offset_BSD,
        shared(torch.where(above_BSD, by_slope_BSD, zero)),
        shared(torch.where(above_BSD, by_offset_BSD, zero)),
        shared(torch.where(above_BSD, zero, by_slope_BSD)),
        shared(torch.where(above_BSD, zero, by_offset_BSD)),
    )


@_pull_lines_backward.register_fake
def _(
    grad_BSD: Tensor,
    grad_BS: Tensor,
    rows_BSD: Tensor,
    lower_slope_BTD: Tensor,
    lower_offset_BTD: Tensor,
    upper_slope_BTD: Tensor,
    upper_offset_BTD: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    lines = lower_slope_BTD, lower_offset_BTD, upper_slope_BTD, upper_offset_BTD
    rows, *of_lines = (each.new_empty(each.shape) for each in (rows_BSD, *lines))
    return rows, of_lines[0], of_lines[1], of_lines[2], of_lines[3]


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad_BSD: Tensor, grad_BS: Tensor) -> tuple[Tensor, ...]:
    return _pull_lines_backward(grad_BSD.contiguous(), grad_BS.contiguous(), *ctx.saved_tensors)


_pull_lines.register_autograd(_backward, setup_context=_save)
