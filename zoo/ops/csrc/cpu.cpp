// The ops' CPU kernels, registered with torch by its stable ABI: one build serves every later torch.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include "kernels.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using zoo::Shape;

// Kernels decide by comparisons, in which NaN is lost. The reference takes what is not finite, and
// every type but float and double.
template <class T> bool all_within(const Tensor& tensor, T limit) {
    const T* values = static_cast<const T*>(tensor.const_data_ptr());
    const int64_t count = tensor.numel();
    int32_t outside[16] = {};
    int64_t k = 0;
    for (; k + 16 <= count; k += 16)
        for (int lane = 0; lane < 16; lane++) outside[lane] |= !(std::fabs(values[k + lane]) <= limit);
    for (; k < count; k++) outside[0] |= !(std::fabs(values[k]) <= limit);
    for (int lane = 1; lane < 16; lane++) outside[0] |= outside[lane];
    return !outside[0];
}

bool all_within(const Tensor& tensor, float limit, double limit_double) {
    if (tensor.scalar_type() == ScalarType::Float) return all_within(tensor, limit);
    return tensor.scalar_type() == ScalarType::Double && all_within(tensor, limit_double);
}

template <class... Tensors> bool native(const Tensors&... tensors) {
    constexpr float kMost = std::numeric_limits<float>::max();
    constexpr double kMostDouble = std::numeric_limits<double>::max();
    return (all_within(tensors, kMost, kMostDouble) && ...);
}

// Finite p scales by powers of two, which must be numbers themselves.
template <class... Tensors> bool native_at_finite_p(const Tensors&... tensors) {
    return (all_within(tensors, 1e35f, 1e300) && ...);
}

// The op's reference, zoo::<name>_reference, through the dispatcher: its results are left on the stack.
template <class... Arguments>
std::array<StableIValue, sizeof...(Arguments)> reference(const char* name, const Arguments&... arguments) {
    std::array<StableIValue, sizeof...(Arguments)> stack = {torch::stable::detail::from(arguments)...};
    STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher(
        (std::string("zoo::") + name + "_reference").c_str(), "", stack.data(), TORCH_ABI_VERSION));
    return stack;
}

template <class Stack> Tensor first(const Stack& stack) { return torch::stable::detail::to<Tensor>(stack[0]); }

template <class Stack> std::tuple<Tensor, Tensor> both(const Stack& stack) {
    return {first(stack), torch::stable::detail::to<Tensor>(stack[1])};
}

Shape shape_of(const Tensor& x_BI, const Tensor& w_OI) { return {x_BI.size(0), w_OI.size(0), w_OI.size(1)}; }

bool is_empty(Shape shape) { return shape.b == 0 || shape.o == 0; }

// Runs a kernel's loop on torch's own threads.
void parallel(int64_t count, void* context, zoo::Body body) {
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) { body(context, begin, end); });
}

template <class T> const T* in(const Tensor& tensor) { return static_cast<const T*>(tensor.const_data_ptr()); }
template <class T> T* out(const Tensor& tensor) { return static_cast<T*>(tensor.mutable_data_ptr()); }

// f(kernels, T()) for the tensor's type.
template <class F> void for_type(const Tensor& tensor, F f) {
    if (tensor.scalar_type() == ScalarType::Float) f(zoo::floats, float());
    else f(zoo::doubles, double());
}

Tensor linf_dist(Tensor x_BI, Tensor w_OI) {
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    if (!native(x_BI, w_OI)) return first(reference("linf_dist", x_BI, w_OI));
    const Shape shape = shape_of(x_BI, w_OI);
    Tensor y_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o});
    if (is_empty(shape)) return y_BO;
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), parallel);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> linf_dist_argmax(Tensor x_BI, Tensor w_OI) {
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    if (!native(x_BI, w_OI)) return both(reference("linf_dist_argmax", x_BI, w_OI));
    const Shape shape = shape_of(x_BI, w_OI);
    Tensor y_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o});
    Tensor at_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
    if (is_empty(shape)) return {y_BO, at_BO};
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_argmax(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), out<int32_t>(at_BO), parallel);
    });
    return {y_BO, at_BO};
}

std::tuple<Tensor, Tensor> linf_dist_backward(Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor at_BO) {
    grad_BO = torch::stable::contiguous(grad_BO), at_BO = torch::stable::contiguous(at_BO);
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    if (!native(grad_BO, x_BI, w_OI)) return both(reference("linf_dist_backward", grad_BO, x_BI, w_OI, at_BO));
    const Shape shape = shape_of(x_BI, w_OI);
    Tensor grad_x_BI = torch::stable::new_zeros(x_BI, {shape.b, shape.i});
    Tensor grad_w_OI = torch::stable::new_zeros(w_OI, {shape.o, shape.i});
    if (is_empty(shape)) return {grad_x_BI, grad_w_OI};
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_backward(
            shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<int32_t>(at_BO), out<T>(grad_x_BI),
            out<T>(grad_w_OI), parallel);
    });
    return {grad_x_BI, grad_w_OI};
}

std::tuple<Tensor, Tensor> linf_dist_bounds(Tensor lower_BI, Tensor upper_BI, Tensor w_OI) {
    lower_BI = torch::stable::contiguous(lower_BI), upper_BI = torch::stable::contiguous(upper_BI);
    w_OI = torch::stable::contiguous(w_OI);
    if (!native(lower_BI, upper_BI, w_OI)) return both(reference("linf_dist_bounds", lower_BI, upper_BI, w_OI));
    const Shape shape = shape_of(lower_BI, w_OI);
    Tensor lower_BO = torch::stable::new_empty(lower_BI, {shape.b, shape.o});
    Tensor upper_BO = torch::stable::new_empty(lower_BI, {shape.b, shape.o});
    if (is_empty(shape)) return {lower_BO, upper_BO};
    for_type(lower_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_bounds(
            shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(w_OI), out<T>(lower_BO), out<T>(upper_BO), parallel);
    });
    return {lower_BO, upper_BO};
}

Tensor lp_dist(Tensor x_BI, Tensor w_OI, double p) {
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    if (!native_at_finite_p(x_BI, w_OI)) return first(reference("lp_dist", x_BI, w_OI, p));
    const Shape shape = shape_of(x_BI, w_OI);
    Tensor y_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o});
    if (is_empty(shape)) return y_BO;
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.lp(shape, in<T>(x_BI), in<T>(w_OI), p, out<T>(y_BO), parallel);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> lp_dist_backward(
    Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor y_BO, double p, bool of_x, bool of_w) {
    grad_BO = torch::stable::contiguous(grad_BO), y_BO = torch::stable::contiguous(y_BO);
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    if (!native_at_finite_p(grad_BO, x_BI, w_OI, y_BO))
        return both(reference("lp_dist_backward", grad_BO, x_BI, w_OI, y_BO, p, of_x, of_w));
    const Shape shape = shape_of(x_BI, w_OI);
    // One evaluation of the powers serves both gradients: leaving one out would save little.
    Tensor grad_x_BI = torch::stable::new_zeros(x_BI, {shape.b, shape.i});
    Tensor grad_w_OI = torch::stable::new_zeros(w_OI, {shape.o, shape.i});
    if (is_empty(shape)) return {grad_x_BI, grad_w_OI};
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.lp_backward(
            shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<T>(y_BO), p, out<T>(grad_x_BI), out<T>(grad_w_OI),
            parallel);
    });
    return {grad_x_BI, grad_w_OI};
}

Tensor sort_dist(Tensor x_BI, Tensor w_OI, Tensor v_K) {
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    v_K = torch::stable::contiguous(v_K);
    STD_TORCH_CHECK(v_K.scalar_type() == ScalarType::Float, "sort_dist: weights must be float32");
    if (!native(x_BI, w_OI)) return first(reference("sort_dist", x_BI, w_OI, v_K));
    const Shape shape = shape_of(x_BI, w_OI);
    const int64_t num_k = v_K.size(0);
    STD_TORCH_CHECK(1 <= num_k && num_k <= shape.i, "sort_dist: needs 1 <= K <= I, got K = ", num_k);
    Tensor y_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o});
    if (is_empty(shape)) return y_BO;
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.sorted(shape, in<T>(x_BI), in<T>(w_OI), in<float>(v_K), int(num_k), out<T>(y_BO), parallel);
    });
    return y_BO;
}

Tensor sort_dist_at(Tensor x_BI, Tensor w_OI, int64_t num_k) {
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    if (!native(x_BI, w_OI)) return first(reference("sort_dist_at", x_BI, w_OI, num_k));
    const Shape shape = shape_of(x_BI, w_OI);
    STD_TORCH_CHECK(1 <= num_k && num_k <= shape.i, "sort_dist_at: needs 1 <= K <= I, got K = ", num_k);
    Tensor at_BOK = torch::stable::new_empty(x_BI, {shape.b, shape.o, num_k}, ScalarType::Int);
    if (is_empty(shape)) return at_BOK;
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.sorted_at(shape, in<T>(x_BI), in<T>(w_OI), int(num_k), out<int32_t>(at_BOK), parallel);
    });
    return at_BOK;
}

// Edges may come from a file: none may make a kernel read where it must not.
void check_edges(int64_t num_in, const Tensor& value_E, const Tensor& index_E, const Tensor& start) {
    const int64_t num_edges = index_E.numel(), num_out = start.numel() - 1;
    const uint16_t* index = in<uint16_t>(index_E);
    const int32_t* starts = in<int32_t>(start);
    bool fit = num_out >= 1 && value_E.numel() == num_edges && starts[0] == 0 && starts[num_out] == num_edges;
    for (int64_t o = 0; fit && o < num_out; o++) fit = starts[o] < starts[o + 1];
    for (int64_t e = 0; fit && e < num_edges; e++) fit = index[e] < num_in;
    STD_TORCH_CHECK(fit, "linf_dist_sparse: edges that are not those of a layer with ", num_in, " inputs");
}

Tensor linf_dist_sparse(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
    x_BI = torch::stable::contiguous(x_BI), value_E = torch::stable::contiguous(value_E);
    index_E = torch::stable::contiguous(index_E), start = torch::stable::contiguous(start);
    if (!native(x_BI, value_E)) return first(reference("linf_dist_sparse", x_BI, value_E, index_E, start));
    const Shape shape{x_BI.size(0), start.numel() - 1, x_BI.size(1)};
    check_edges(shape.i, value_E, index_E, start);
    Tensor y_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o});
    if (is_empty(shape)) return y_BO;
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_sparse(
            shape, in<T>(x_BI), in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start), out<T>(y_BO), parallel);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> linf_dist_sparse_argmax(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
    x_BI = torch::stable::contiguous(x_BI), value_E = torch::stable::contiguous(value_E);
    index_E = torch::stable::contiguous(index_E), start = torch::stable::contiguous(start);
    if (!native(x_BI, value_E)) return both(reference("linf_dist_sparse_argmax", x_BI, value_E, index_E, start));
    const Shape shape{x_BI.size(0), start.numel() - 1, x_BI.size(1)};
    check_edges(shape.i, value_E, index_E, start);
    Tensor y_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o});
    Tensor edge_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
    if (is_empty(shape)) return {y_BO, edge_BO};
    for_type(x_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_sparse_argmax(
            shape, in<T>(x_BI), in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start), out<T>(y_BO),
            out<int32_t>(edge_BO), parallel);
    });
    return {y_BO, edge_BO};
}

std::tuple<Tensor, Tensor> linf_dist_sparse_bounds(
    Tensor lower_BI, Tensor upper_BI, Tensor value_E, Tensor index_E, Tensor start) {
    lower_BI = torch::stable::contiguous(lower_BI), upper_BI = torch::stable::contiguous(upper_BI);
    value_E = torch::stable::contiguous(value_E), index_E = torch::stable::contiguous(index_E);
    start = torch::stable::contiguous(start);
    if (!native(lower_BI, upper_BI, value_E))
        return both(reference("linf_dist_sparse_bounds", lower_BI, upper_BI, value_E, index_E, start));
    const Shape shape{lower_BI.size(0), start.numel() - 1, lower_BI.size(1)};
    check_edges(shape.i, value_E, index_E, start);
    Tensor lower_BO = torch::stable::new_empty(lower_BI, {shape.b, shape.o});
    Tensor upper_BO = torch::stable::new_empty(lower_BI, {shape.b, shape.o});
    if (is_empty(shape)) return {lower_BO, upper_BO};
    for_type(lower_BI, [&](const auto& kernels, auto t) {
        using T = decltype(t);
        kernels.linf_sparse_bounds(
            shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start),
            out<T>(lower_BO), out<T>(upper_BO), parallel);
    });
    return {lower_BO, upper_BO};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(zoo, CPU, m) {
    m.impl("linf_dist", TORCH_BOX(&linf_dist));
    m.impl("linf_dist_argmax", TORCH_BOX(&linf_dist_argmax));
    m.impl("linf_dist_backward", TORCH_BOX(&linf_dist_backward));
    m.impl("linf_dist_bounds", TORCH_BOX(&linf_dist_bounds));
    m.impl("lp_dist", TORCH_BOX(&lp_dist));
    m.impl("lp_dist_backward", TORCH_BOX(&lp_dist_backward));
    m.impl("sort_dist", TORCH_BOX(&sort_dist));
    m.impl("sort_dist_at", TORCH_BOX(&sort_dist_at));
    m.impl("linf_dist_sparse", TORCH_BOX(&linf_dist_sparse));
    m.impl("linf_dist_sparse_argmax", TORCH_BOX(&linf_dist_sparse_argmax));
    m.impl("linf_dist_sparse_bounds", TORCH_BOX(&linf_dist_sparse_bounds));
}
