// The ops' CPU kernels, registered with torch by its stable ABI: one build serves every later torch.
#include "boundary.h"

namespace {

Tensor linf_dist(Tensor x_BI, Tensor w_OI) {
    const Shape shape = checked("linf_dist", x_BI, w_OI);
    if (!native(x_BI, w_OI)) return first(reference("linf_dist", x_BI, w_OI));
    const Tensor y_BO = new_BO(x_BI, shape);
    run(x_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), parallel);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> linf_dist_argmax(Tensor x_BI, Tensor w_OI) {
    const Shape shape = checked("linf_dist_argmax", x_BI, w_OI);
    if (!native(x_BI, w_OI)) return both(reference("linf_dist_argmax", x_BI, w_OI));
    const Tensor y_BO = new_BO(x_BI, shape);
    const Tensor at_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
    run(x_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_argmax(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), out<int32_t>(at_BO), parallel);
    });
    return {y_BO, at_BO};
}

std::tuple<Tensor, Tensor> linf_dist_backward(Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor at_BO) {
    const char* op = "linf_dist_backward";
    const Shape shape = checked(op, x_BI, w_OI);
    check(op, grad_BO, x_BI.scalar_type(), shape.b, shape.o);
    check(op, at_BO, ScalarType::Int, shape.b, shape.o);
    bool inside = true;
    const int32_t* at = in<int32_t>(at_BO);
    for (int64_t pair = 0; pair < shape.b * shape.o; pair++) inside &= 0 <= at[pair] && at[pair] < shape.i;
    STD_TORCH_CHECK(inside, op, ": a winning coordinate is none of the ", shape.i);
    if (!native(grad_BO, x_BI, w_OI)) return both(reference(op, grad_BO, x_BI, w_OI, at_BO));
    const auto [grad_x_BI, grad_w_OI] = new_gradients(x_BI, w_OI, shape);
    run(x_BI, shape, [&, x_out = grad_x_BI, w_out = grad_w_OI](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_backward(
            shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<int32_t>(at_BO), out<T>(x_out), out<T>(w_out),
            parallel);
    });
    return {grad_x_BI, grad_w_OI};
}

std::tuple<Tensor, Tensor> linf_dist_bounds(Tensor lower_BI, Tensor upper_BI, Tensor w_OI) {
    const char* op = "linf_dist_bounds";
    const Shape shape = checked(op, lower_BI, w_OI);
    check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
    if (!native(lower_BI, upper_BI, w_OI)) return both(reference(op, lower_BI, upper_BI, w_OI));
    const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
    run(lower_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_bounds(
            shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(w_OI), out<T>(lower_BO), out<T>(upper_BO), parallel);
    });
    return {lower_BO, upper_BO};
}

Tensor lp_dist(Tensor x_BI, Tensor w_OI, double p) {
    const Shape shape = checked("lp_dist", x_BI, w_OI);
    if (!native_at_finite_p(x_BI, w_OI)) return first(reference("lp_dist", x_BI, w_OI, p));
    const Tensor y_BO = new_BO(x_BI, shape);
    run(x_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.lp(shape, in<T>(x_BI), in<T>(w_OI), p, out<T>(y_BO), parallel);
    });
    return y_BO;
}

// One evaluation of the powers serves both gradients: leaving one out would save little.
std::tuple<Tensor, Tensor> lp_dist_backward(
    Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor y_BO, double p, bool of_x, bool of_w) {
    const char* op = "lp_dist_backward";
    const Shape shape = checked(op, x_BI, w_OI);
    check(op, grad_BO, x_BI.scalar_type(), shape.b, shape.o);
    check(op, y_BO, x_BI.scalar_type(), shape.b, shape.o);
    // Gradients are multiplied by up to 2^63 on the way.
    if (!native_at_finite_p(x_BI, w_OI, y_BO) || !all_within(grad_BO, 1e15f, 1e15))
        return both(reference(op, grad_BO, x_BI, w_OI, y_BO, p, of_x, of_w));
    const auto [grad_x_BI, grad_w_OI] = new_gradients(x_BI, w_OI, shape);
    run(x_BI, shape, [&, x_out = grad_x_BI, w_out = grad_w_OI](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.lp_backward(
            shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<T>(y_BO), p, out<T>(x_out), out<T>(w_out), parallel);
    });
    return {grad_x_BI, grad_w_OI};
}

Tensor sort_dist(Tensor x_BI, Tensor w_OI, Tensor v_K) {
    const Shape shape = checked("sort_dist", x_BI, w_OI);
    check_order("sort_dist", v_K, x_BI, shape);
    if (!native(x_BI, w_OI, v_K)) return first(reference("sort_dist", x_BI, w_OI, v_K));
    const Tensor y_BO = new_BO(x_BI, shape);
    run(x_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.sorted(shape, in<T>(x_BI), in<T>(w_OI), in<T>(v_K), int(v_K.numel()), out<T>(y_BO), parallel);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> order_dist_bounds(Tensor lower_BI, Tensor upper_BI, Tensor w_OI, Tensor v_K) {
    const char* op = "order_dist_bounds";
    const Shape shape = checked(op, lower_BI, w_OI);
    check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
    check_order(op, v_K, lower_BI, shape);
    if (!native(lower_BI, upper_BI, w_OI, v_K)) return both(reference(op, lower_BI, upper_BI, w_OI, v_K));
    const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
    run(lower_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.sorted_bounds(
            shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(w_OI), in<T>(v_K), int(v_K.numel()), out<T>(lower_BO),
            out<T>(upper_BO), parallel);
    });
    return {lower_BO, upper_BO};
}

Tensor sort_dist_at(Tensor x_BI, Tensor w_OI, int64_t num_k) {
    const Shape shape = checked("sort_dist_at", x_BI, w_OI);
    check_order("sort_dist_at", num_k, shape);
    if (!native(x_BI, w_OI)) return first(reference("sort_dist_at", x_BI, w_OI, num_k));
    const Tensor at_BOK = torch::stable::new_empty(x_BI, {shape.b, shape.o, num_k}, ScalarType::Int);
    run(x_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.sorted_at(shape, in<T>(x_BI), in<T>(w_OI), int(num_k), out<int32_t>(at_BOK), parallel);
    });
    return at_BOK;
}

Tensor linf_dist_sparse(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
    const char* op = "linf_dist_sparse";
    const Shape shape = checked_edges(op, x_BI, value_E, index_E, start);
    if (!native(x_BI, value_E)) return first(reference(op, x_BI, value_E, index_E, start));
    const Tensor y_BO = new_BO(x_BI, shape);
    run(x_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_edges(
            shape, in<T>(x_BI), in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start), out<T>(y_BO), parallel);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> linf_dist_sparse_argmax(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
    const char* op = "linf_dist_sparse_argmax";
    const Shape shape = checked_edges(op, x_BI, value_E, index_E, start);
    if (!native(x_BI, value_E)) return both(reference(op, x_BI, value_E, index_E, start));
    const Tensor y_BO = new_BO(x_BI, shape);
    const Tensor edge_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
    run(x_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_edges_argmax(
            shape, in<T>(x_BI), in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start), out<T>(y_BO),
            out<int32_t>(edge_BO), parallel);
    });
    return {y_BO, edge_BO};
}

std::tuple<Tensor, Tensor> linf_dist_sparse_bounds(
    Tensor lower_BI, Tensor upper_BI, Tensor value_E, Tensor index_E, Tensor start) {
    const char* op = "linf_dist_sparse_bounds";
    const Shape shape = checked_edges(op, lower_BI, value_E, index_E, start);
    check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
    if (!native(lower_BI, upper_BI, value_E))
        return both(reference(op, lower_BI, upper_BI, value_E, index_E, start));
    const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
    run(lower_BI, shape, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_edges_bounds(
            shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start),
            out<T>(lower_BO), out<T>(upper_BO), parallel);
    });
    return {lower_BO, upper_BO};
}

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
    if (!native(lower, upper)) return first(reference(op, lower, upper));
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
    if (!native(grad, lower, upper)) return both(reference(op, grad, lower, upper));
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
    if (!native(lower_slope, upper_slope, lower, upper))
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
    if (!native(grad_lower_offset, grad_upper_offset, lower_slope, upper_slope, lower, upper))
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
    ZOO_IMPLEMENT_DISTANCES(m);
    m.impl("pull_lines", TORCH_BOX(&pull_lines));
    m.impl("pull_lines_backward", TORCH_BOX(&pull_lines_backward));
    m.impl("relu_chord", TORCH_BOX(&relu_chord));
    m.impl("relu_chord_backward", TORCH_BOX(&relu_chord_backward));
    m.impl("relu_offsets", TORCH_BOX(&relu_offsets));
    m.impl("relu_offsets_backward", TORCH_BOX(&relu_offsets_backward));
}
