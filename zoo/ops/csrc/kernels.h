// What the kernels offer, and what they need from their caller.
//
// Names: B batch, O out features, I in features, all at least 1, and 1 <= K <= I. Operands are row-major
// and contiguous, x_BI and w_OI finite; at finite p at most 1e35 in size (1e300 in double), gradients
// 1e15. at_BO is in [0, I). Outputs are written in full.
#pragma once

#include <cstdint>

namespace zoo {

struct Shape {
    int64_t b, o, i;
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
    void (*linf_edges)(
        Shape, const T* x_BI, const T* value_E, const uint16_t* index_E, const int32_t* start, T* y_BO, Parallel);
    void (*linf_edges_argmax)(
        Shape, const T* x_BI, const T* value_E, const uint16_t* index_E, const int32_t* start, T* y_BO,
        int32_t* edge_BO, Parallel);
    void (*linf_edges_bounds)(
        Shape, const T* lower_BI, const T* upper_BI, const T* value_E, const uint16_t* index_E, const int32_t* start,
        T* lower_BO, T* upper_BO, Parallel);
};

// Defined in kernels.cpp, for the instruction set that it is compiled for.
extern const Kernels<float> floats;
extern const Kernels<double> doubles;

}  // namespace zoo
