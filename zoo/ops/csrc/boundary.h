// Between torch and the kernels: what a kernel must not be given is refused here, for callers that go
// past zoo.ops, or left to the reference.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <utility>

#include "kernels.h"

// torch 2.11 has the check under its older name alone; the new one keeps an error's own message.
#ifndef STABLE_TORCH_ERROR_CODE_CHECK
#define STABLE_TORCH_ERROR_CODE_CHECK TORCH_ERROR_CODE_CHECK
#endif

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using zoo::Shape;

// ---------------------------------------------------------------------------------------------- checks

template <class T> const T* in(const Tensor& tensor) { return static_cast<const T*>(tensor.const_data_ptr()); }
template <class T> T* out(const Tensor& tensor) { return static_cast<T*>(tensor.mutable_data_ptr()); }

// Both of the same type, (B, I) and (O, I) with I >= 1; made contiguous.
Shape checked(const char* op, Tensor& x_BI, Tensor& w_OI) {
    const bool fit = x_BI.dim() == 2 && w_OI.dim() == 2 && x_BI.size(1) == w_OI.size(1) && x_BI.size(1) >= 1 &&
                     x_BI.scalar_type() == w_OI.scalar_type();
    STD_TORCH_CHECK(fit, op, ": needs x (B, I) and w (O, I) of one type, with I >= 1");
    x_BI = torch::stable::contiguous(x_BI), w_OI = torch::stable::contiguous(w_OI);
    return {x_BI.size(0), w_OI.size(0), w_OI.size(1)};
}

// Of this type and size; made contiguous.
void check(const char* op, Tensor& tensor, ScalarType type, int64_t rows, int64_t columns) {
    const bool fit = tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) == columns;
    STD_TORCH_CHECK(fit && tensor.scalar_type() == type, op, ": an operand has another shape or type than its op gives it");
    tensor = torch::stable::contiguous(tensor);
}

// Edges may come from a file: none may make a kernel read where it must not.
Shape checked_edges(const char* op, Tensor& x_BI, Tensor& value_E, Tensor& index_E, Tensor& start) {
    bool fit = x_BI.dim() == 2 && value_E.dim() == 1 && index_E.dim() == 1 && start.dim() == 1 &&
               value_E.scalar_type() == x_BI.scalar_type() && index_E.scalar_type() == ScalarType::UInt16 &&
               start.scalar_type() == ScalarType::Int;
    STD_TORCH_CHECK(fit, op, ": needs x (B, I), values and uint16 indices (E,), int32 starts (O + 1,)");
    x_BI = torch::stable::contiguous(x_BI), value_E = torch::stable::contiguous(value_E);
    index_E = torch::stable::contiguous(index_E), start = torch::stable::contiguous(start);
    const int64_t num_edges = index_E.numel(), num_out = start.numel() - 1, num_in = x_BI.size(1);
    const uint16_t* index = in<uint16_t>(index_E);
    const int32_t* starts = in<int32_t>(start);
    fit = num_out >= 1 && value_E.numel() == num_edges && starts[0] == 0 && starts[num_out] == num_edges;
    for (int64_t o = 0; fit && o < num_out; o++) fit = starts[o] < starts[o + 1];
    for (int64_t e = 0; fit && e < num_edges; e++) fit = index[e] < num_in;
    STD_TORCH_CHECK(fit, op, ": edges that are not those of a layer with ", num_in, " inputs");
    return {x_BI.size(0), num_out, num_in};
}

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

template <class Stack, size_t... K> auto unpacked(const Stack& stack, std::index_sequence<K...>) {
    return std::make_tuple(torch::stable::detail::to<Tensor>(stack[K])...);
}

// The first N results.
template <size_t N, class Stack> auto results(const Stack& stack) {
    return unpacked(stack, std::make_index_sequence<N>());
}

template <class Stack> Tensor first(const Stack& stack) { return std::get<0>(results<1>(stack)); }

template <class Stack> std::tuple<Tensor, Tensor> both(const Stack& stack) { return results<2>(stack); }

// Whether there are kernels for the tensor's type.
bool full_precision(const Tensor& tensor) {
    return tensor.scalar_type() == ScalarType::Float || tensor.scalar_type() == ScalarType::Double;
}

// f(kernels, T()) for the tensor's type.
template <class F> void by_type(const Tensor& tensor, F f) {
    if (tensor.scalar_type() == ScalarType::Float) f(zoo::floats, float());
    else f(zoo::doubles, double());
}

// The same, unless there is no pair.
template <class F> void run(const Tensor& tensor, Shape shape, F f) {
    if (shape.b > 0 && shape.o > 0) by_type(tensor, f);
}

Tensor new_like(const Tensor& like) { return torch::stable::empty_like(like); }

Tensor new_BO(const Tensor& like, Shape shape) { return torch::stable::new_empty(like, {shape.b, shape.o}); }

// Of x and of w; without pairs nothing is written, and they are 0.
std::tuple<Tensor, Tensor> new_gradients(const Tensor& x_BI, const Tensor& w_OI, Shape shape) {
    const bool empty = shape.b == 0 || shape.o == 0;
    const auto make = [&](const Tensor& like, int64_t rows) {
        return empty ? torch::stable::new_zeros(like, {rows, shape.i}) : torch::stable::new_empty(like, {rows, shape.i});
    };
    return {make(x_BI, shape.b), make(w_OI, shape.o)};
}

}  // namespace
