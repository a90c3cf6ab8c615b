// Between torch and the CPU's kernels.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "checks.h"
#include "kernels.h"

namespace {

// ---------------------------------------------------------------------------------------------- checks

// Of this other tensor's type and shape; made contiguous.
void check_like(const char* op, Tensor& tensor, const Tensor& other) {
    bool fit = tensor.scalar_type() == other.scalar_type() && tensor.dim() == other.dim();
    for (int64_t axis = 0; fit && axis < other.dim(); axis++) fit = tensor.size(axis) == other.size(axis);
    STD_TORCH_CHECK(fit, op, ": an operand has another shape or type than its op gives it");
    tensor = torch::stable::contiguous(tensor);
}

// Forms (B, S, D), and lines (B, T, D) of their type, T = 1 or S; made contiguous.
zoo::LineShape checked_lines(const char* op, Tensor& rows_BSD, std::array<Tensor, 4>& lines) {
    STD_TORCH_CHECK(rows_BSD.dim() == 3, op, ": needs rows (B, S, D)");
    rows_BSD = torch::stable::contiguous(rows_BSD);
    const int64_t b = rows_BSD.size(0), s = rows_BSD.size(1), d = rows_BSD.size(2);
    for (Tensor& line : lines) {
        const bool fit = line.dim() == 3 && line.scalar_type() == rows_BSD.scalar_type() && line.size(0) == b &&
                         (line.size(1) == 1 || line.size(1) == s) && line.size(1) == lines[0].size(1) && line.size(2) == d;
        STD_TORCH_CHECK(fit, op, ": needs lines (B, 1 or S, D) of the rows' type");
        line = torch::stable::contiguous(line);
    }
    return {b, s, lines[0].size(1), d};
}

// ------------------------------------------------------------------------------------------- dispatch

// Runs a kernel's loop on torch's own threads.
void parallel(int64_t count, void* context, zoo::Body body) {
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) { body(context, begin, end); });
}

// Kernels decide by comparisons, in which NaN is lost. The reference takes what is not finite, and
// every type but float and double.
template <class T> bool all_within(const T* values, int64_t count, T limit) {
    int32_t outside[16] = {};
    int64_t k = 0;
    for (; k + 16 <= count; k += 16)
        for (int lane = 0; lane < 16; lane++) outside[lane] |= !(std::fabs(values[k + lane]) <= limit);
    for (; k < count; k++) outside[0] |= !(std::fabs(values[k]) <= limit);
    for (int lane = 1; lane < 16; lane++) outside[0] |= outside[lane];
    return !outside[0];
}

template <class T> bool all_within(const Tensor& tensor, T limit) {
    constexpr int64_t kBlock = 1 << 15;  // worth a thread's while
    std::atomic<bool> within = true;
    const int64_t count = tensor.numel(), blocks = (count + kBlock - 1) / kBlock;
    torch::stable::parallel_for(0, blocks, 4, [&](int64_t begin, int64_t end) {
        const int64_t from = begin * kBlock, to = std::min(end * kBlock, count);
        if (!all_within(in<T>(tensor) + from, to - from, limit)) within = false;
    });
    return within;
}

bool all_within(const Tensor& tensor, float limit, double limit_double) {
    if (tensor.scalar_type() == ScalarType::Float) return all_within(tensor, limit);
    return tensor.scalar_type() == ScalarType::Double && all_within(tensor, limit_double);
}

// f(kernels, T()) for the tensor's type.
template <class F> void by_type(const Tensor& tensor, F f) {
    if (tensor.scalar_type() == ScalarType::Float) f(zoo::floats, float());
    else f(zoo::doubles, double());
}

// The device of distances.h.
struct Cpu {
    template <class... Tensors> static void check(const char*, const Tensors&...) {}
    static void check_winners(const char* op, const Tensor& at_BO, Shape shape) {
        const int32_t* at = in<int32_t>(at_BO);
        bool inside = true;
        for (int64_t pair = 0; pair < shape.b * shape.o; pair++) inside &= 0 <= at[pair] && at[pair] < shape.i;
        STD_TORCH_CHECK(inside, op, ": a winning coordinate is none of the ", shape.i);
    }
    // Edges may come from a file: none may make a kernel read where it must not.
    static void check_edges(const char* op, const Tensor& index_E, const Tensor& start, Shape shape) {
        const int64_t num_edges = index_E.numel();
        const uint16_t* index = in<uint16_t>(index_E);
        const int32_t* starts = in<int32_t>(start);
        bool fit = starts[0] == 0 && starts[shape.o] == num_edges;
        for (int64_t o = 0; fit && o < shape.o; o++) fit = starts[o] < starts[o + 1];
        for (int64_t e = 0; fit && e < num_edges; e++) fit = index[e] < shape.i;
        STD_TORCH_CHECK(fit, op, ": edges that are not those of a layer with ", shape.i, " inputs");
    }
    template <class... Tensors> static bool takes(const Tensors&... tensors) {
        constexpr float kMost = std::numeric_limits<float>::max();
        constexpr double kMostDouble = std::numeric_limits<double>::max();
        return (all_within(tensors, kMost, kMostDouble) && ...);
    }
    // Finite p scales by powers of two, which must be numbers themselves.
    template <class... Tensors> static bool takes_at_finite_p(const Tensors&... tensors) {
        return (all_within(tensors, 1e35f, 1e300) && ...);
    }
    // Gradients are multiplied by up to 2^63 on the way.
    static bool takes_gradient(const Tensor& grad) { return all_within(grad, 1e15f, 1e15); }
    static bool takes_places(int64_t) { return true; }
    template <class F> static void run(const char*, const Tensor& like, Shape shape, F f) {
        if (shape.b > 0 && shape.o > 0)
            by_type(like, [&](const auto& kernels, auto t) { f(kernels, parallel, t); });
    }
};

}  // namespace
