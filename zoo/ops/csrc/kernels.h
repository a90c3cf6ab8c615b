// What the kernels offer, and what they need from their caller.
//
// Names: B batch, O out features, I in features, all at least 1, and 1 <= K <= I. Operands are row-major
// and contiguous, x_BI and w_OI finite; at finite p at most 1e35 in size (1e300 in double), gradients
// 1e15. at_BO is in [0, I). Outputs are written in full. Linear forms and lines may be any numbers;
// the ends of a ReLU's input are finite.
#pragma once

#include <cstdint>

#include "shape.h"

namespace zoo {

// Rows of linear forms over D entries, S for each of B; lines for each entry, shared by rows if T = 1.
struct LineShape {
    int64_t b, s, t, d;
};

// Each (B, T, D), T = 1 or S.
template <class T> struct Lines {
    T *lower_slope, *lower_offset, *upper_slope, *upper_offset;
};

// Runs body(context, begin, end) on pieces of [0, count), perhaps on several threads.
using Body = void (*)(void* context, int64_t begin, int64_t end);
using Parallel = void (*)(int64_t count, void* context, Body body);

template <class T> struct Kernels {
    void (*linf)(Shape, const T* x_BI, const T* w_OI, T* y_BO, Parallel);
    void (*linf_argmax)(Shape, const T* x_BI, const T* w_OI, T* y_BO, int32_t* at_BO, Parallel);
    void (*linf_backward)(
        Shape, const T* grad_BO, const T* x_BI, const T* w_OI, const int32_t* at_BO, T* grad_x_BI, T* grad_w_OI,
        Parallel);
    void (*linf_bounds)(
        Shape, const T* lower_BI, const T* upper_BI, const T* w_OI, T* lower_BO, T* upper_BO, Parallel);
    void (*lp)(Shape, const T* x_BI, const T* w_OI, double p, T* y_BO, Parallel);
    void (*lp_backward)(
        Shape, const T* grad_BO, const T* x_BI, const T* w_OI, const T* y_BO, double p, T* grad_x_BI, T* grad_w_OI,
        Parallel);
    void (*sorted)(Shape, const T* x_BI, const T* w_OI, const T* v_K, int num_k, T* y_BO, Parallel);
    void (*sorted_at)(Shape, const T* x_BI, const T* w_OI, int num_k, int32_t* at_BOK, Parallel);
    void (*sorted_bounds)(
        Shape, const T* lower_BI, const T* upper_BI, const T* w_OI, const T* v_K, int num_k, T* lower_BO, T* upper_BO,
        Parallel);
    void (*linf_edges)(Shape, const T* x_BI, Edges<T>, T* y_BO, Parallel);
    void (*linf_edges_argmax)(Shape, const T* x_BI, Edges<T>, T* y_BO, int32_t* edge_BO, Parallel);
    void (*linf_edges_bounds)(
        Shape, const T* lower_BI, const T* upper_BI, Edges<T>, T* lower_BO, T* upper_BO, Parallel);
    void (*pull_lines)(LineShape, const T* rows_BSD, Lines<const T>, T* pulled_BSD, T* constant_BS, Parallel);
    void (*pull_lines_backward)(
        LineShape, const T* grad_pulled_BSD, const T* grad_constant_BS, const T* rows_BSD, Lines<const T>,
        T* grad_rows_BSD, Lines<T> grad_lines, Parallel);
    void (*relu_chord)(int64_t count, const T* lower, const T* upper, T* slope, T tiny, Parallel);
    void (*relu_chord_backward)(
        int64_t count, const T* grad, const T* lower, const T* upper, T* grad_lower, T* grad_upper, T tiny, Parallel);
    void (*relu_offsets)(
        int64_t count, const T* lower_slope, const T* upper_slope, const T* lower, const T* upper, T* lower_offset,
        T* upper_offset, Parallel);
    void (*relu_offsets_backward)(
        int64_t count, const T* grad_lower_offset, const T* grad_upper_offset, const T* lower_slope,
        const T* upper_slope, const T* lower, const T* upper, T* grad_lower_slope, T* grad_upper_slope, T* grad_lower,
        T* grad_upper, Parallel);
};

// Defined in kernels.cpp, for the instruction set that it is compiled for.
extern const Kernels<float> floats;
extern const Kernels<double> doubles;

}  // namespace zoo
