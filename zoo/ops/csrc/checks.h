// Between torch and the kernels of any device: what a kernel must not be given is refused here, for callers that go
// past zoo.ops, or left to the reference.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <array>
#include <string>
#include <tuple>
#include <utility>

#include "shape.h"

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

// Values (E,) with uint16 indices, int32 starts (O + 1,); made contiguous. What the edges say is not looked at.
Shape shape_of_edges(const char* op, Tensor& x_BI, Tensor& value_E, Tensor& index_E, Tensor& start) {
    const bool fit = x_BI.dim() == 2 && value_E.dim() == 1 && index_E.dim() == 1 && start.dim() == 1 &&
                     value_E.scalar_type() == x_BI.scalar_type() && index_E.scalar_type() == ScalarType::UInt16 &&
                     start.scalar_type() == ScalarType::Int && value_E.numel() == index_E.numel() && start.numel() >= 2 &&
                     x_BI.size(1) >= 1 && index_E.numel() >= 1;
    STD_TORCH_CHECK(fit, op, ": needs x (B, I), values and uint16 indices (E,), int32 starts (O + 1,)");
    x_BI = torch::stable::contiguous(x_BI), value_E = torch::stable::contiguous(value_E);
    index_E = torch::stable::contiguous(index_E), start = torch::stable::contiguous(start);
    return {x_BI.size(0), start.numel() - 1, x_BI.size(1)};
}

void check_order(const char* op, int64_t num_k, Shape shape) {
    STD_TORCH_CHECK(1 <= num_k && num_k <= shape.i, op, ": needs 1 <= K <= I, got K = ", num_k);
}

// Weights of order statistics: in the operands' type, in float where that is shorter.
void check_order(const char* op, Tensor& v_K, const Tensor& x_BI, Shape shape) {
    const bool wide = x_BI.scalar_type() == ScalarType::Double;
    const bool fit = v_K.dim() == 1 && v_K.scalar_type() == (wide ? ScalarType::Double : ScalarType::Float);
    STD_TORCH_CHECK(fit, op, ": needs weights (K,) in ", wide ? "float64" : "float32");
    v_K = torch::stable::contiguous(v_K);
    check_order(op, v_K.numel(), shape);
}

// ------------------------------------------------------------------------------------------ references

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
