// The CPU's kernels, registered with torch by its stable ABI: one build serves every later torch.
#include "boundary.h"
#include "distances.h"

namespace {

template <class T> zoo::Lines<const T> in_lines(const std::array<Tensor, 4>& lines) {
    return {in<T>(lines[0]), in<T>(lines[1]), in<T>(lines[2]), in<T>(lines[3])};
}

std::tuple<Tensor, Tensor> pull_lines(
    Tensor rows_BSD, Tensor lower_slope, Tensor lower_offset, Tensor upper_slope, Tensor upper_offset) {
    const char* op = "pull_lines";
    std::array<Tensor, 4> lines = {lower_slope, lower_offset, upper_slope, upper_offset};
    const zoo::LineShape shape = checked_lines(op, rows_BSD, lines);
    if (!full_precision(rows_BSD)) return both(reference(op, rows_BSD, lines[0], lines[1], lines[2], lines[3]));
    const Tensor pulled_BSD = torch::stable::new_empty(rows_BSD, {shape.b, shape.s, shape.d});
    const Tensor constant_BS = torch::stable::new_empty(rows_BSD, {shape.b, shape.s});
    by_type(rows_BSD, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.pull_lines(shape, in<T>(rows_BSD), in_lines<T>(lines), out<T>(pulled_BSD), out<T>(constant_BS), parallel);
    });
    return {pulled_BSD, constant_BS};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> pull_lines_backward(
    Tensor grad_BSD, Tensor grad_BS, Tensor rows_BSD, Tensor lower_slope, Tensor lower_offset, Tensor upper_slope,
    Tensor upper_offset) {
    const char* op = "pull_lines_backward";
    std::array<Tensor, 4> lines = {lower_slope, lower_offset, upper_slope, upper_offset};
    const zoo::LineShape shape = checked_lines(op, rows_BSD, lines);
    check_like(op, grad_BSD, rows_BSD);
    check(op, grad_BS, rows_BSD.scalar_type(), shape.b, shape.s);
    if (!full_precision(rows_BSD))
        return results<5>(reference(op, grad_BSD, grad_BS, rows_BSD, lines[0], lines[1], lines[2], lines[3]));
    const Tensor grad_rows_BSD = torch::stable::new_empty(rows_BSD, {shape.b, shape.s, shape.d});
    std::array<Tensor, 4> grads;  // of lines that no row meets: 0
    for (Tensor& grad : grads) {
        const auto size = {shape.b, shape.t, shape.d};
        grad = shape.s ? torch::stable::new_empty(rows_BSD, size) : torch::stable::new_zeros(rows_BSD, size);
    }
    by_type(rows_BSD, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        const zoo::Lines<T> to = {out<T>(grads[0]), out<T>(grads[1]), out<T>(grads[2]), out<T>(grads[3])};
        kernels.pull_lines_backward(
            shape, in<T>(grad_BSD), in<T>(grad_BS), in<T>(rows_BSD), in_lines<T>(lines), out<T>(grad_rows_BSD), to,
            parallel);
    });
    return {grad_rows_BSD, grads[0], grads[1], grads[2], grads[3]};
}

Tensor relu_chord(Tensor lower, Tensor upper) {
    const char* op = "relu_chord";
    check_like(op, lower, lower), check_like(op, upper, lower);
    if (!Cpu::takes(lower, upper)) return first(reference(op, lower, upper));
    const Tensor slope = new_like(lower);
    by_type(lower, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.relu_chord(
            lower.numel(), in<T>(lower), in<T>(upper), out<T>(slope), std::numeric_limits<T>::min(), parallel);
    });
    return slope;
}

std::tuple<Tensor, Tensor> relu_chord_backward(Tensor grad, Tensor lower, Tensor upper) {
    const char* op = "relu_chord_backward";
    check_like(op, grad, lower), check_like(op, upper, lower), check_like(op, lower, grad);
    if (!Cpu::takes(grad, lower, upper)) return both(reference(op, grad, lower, upper));
    const Tensor grad_lower = new_like(lower), grad_upper = new_like(lower);
    by_type(lower, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.relu_chord_backward(
            lower.numel(), in<T>(grad), in<T>(lower), in<T>(upper), out<T>(grad_lower), out<T>(grad_upper),
            std::numeric_limits<T>::min(), parallel);
    });
    return {grad_lower, grad_upper};
}

std::tuple<Tensor, Tensor> relu_offsets(Tensor lower_slope, Tensor upper_slope, Tensor lower, Tensor upper) {
    const char* op = "relu_offsets";
    for (Tensor* each : {&lower_slope, &upper_slope, &upper, &lower}) check_like(op, *each, lower);
    if (!Cpu::takes(lower_slope, upper_slope, lower, upper))
        return both(reference(op, lower_slope, upper_slope, lower, upper));
    const Tensor lower_offset = new_like(lower), upper_offset = new_like(lower);
    by_type(lower, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.relu_offsets(
            lower.numel(), in<T>(lower_slope), in<T>(upper_slope), in<T>(lower), in<T>(upper), out<T>(lower_offset),
            out<T>(upper_offset), parallel);
    });
    return {lower_offset, upper_offset};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> relu_offsets_backward(
    Tensor grad_lower_offset, Tensor grad_upper_offset, Tensor lower_slope, Tensor upper_slope, Tensor lower,
    Tensor upper) {
    const char* op = "relu_offsets_backward";
    for (Tensor* each : {&grad_lower_offset, &grad_upper_offset, &lower_slope, &upper_slope, &upper, &lower})
        check_like(op, *each, lower);
    if (!Cpu::takes(grad_lower_offset, grad_upper_offset, lower_slope, upper_slope, lower, upper))
        return results<4>(
            reference(op, grad_lower_offset, grad_upper_offset, lower_slope, upper_slope, lower, upper));
    const std::array<Tensor, 4> grads = {new_like(lower), new_like(lower), new_like(lower), new_like(lower)};
    by_type(lower, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.relu_offsets_backward(
            lower.numel(), in<T>(grad_lower_offset), in<T>(grad_upper_offset), in<T>(lower_slope),
            in<T>(upper_slope), in<T>(lower), in<T>(upper), out<T>(grads[0]), out<T>(grads[1]), out<T>(grads[2]),
            out<T>(grads[3]), parallel);
    });
    return {grads[0], grads[1], grads[2], grads[3]};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(zoo, CPU, m) {
    ZOO_IMPLEMENT_DISTANCES(m, Cpu);
    m.impl("pull_lines", TORCH_BOX(&pull_lines));
    m.impl("pull_lines_backward", TORCH_BOX(&pull_lines_backward));
    m.impl("relu_chord", TORCH_BOX(&relu_chord));
    m.impl("relu_chord_backward", TORCH_BOX(&relu_chord_backward));
    m.impl("relu_offsets", TORCH_BOX(&relu_offsets));
    m.impl("relu_offsets_backward", TORCH_BOX(&relu_offsets_backward));
}
