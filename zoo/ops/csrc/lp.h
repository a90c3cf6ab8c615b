// Finite p: y_bo = (sum_i |x_bi - w_oi|^p)^(1/p), and which way it is computed by p.
#pragma once

#include "lp_sparse.h"

namespace {

// From here on so few terms count that looking for them costs less than evaluating all.
constexpr double kSparseFrom = 32;

// f(Count<p>) where p is an exponent that products are made for, else f(Count<0>).
template <class T, class F> void with_exponent(double p, F f) {
    if constexpr (sizeof(T) == 4) {
        if (p == 8) return f(Count<8>{});
        if (p == 12) return f(Count<12>{});
        if (p == 16) return f(Count<16>{});
        if (p == 24) return f(Count<24>{});
        if (p == 32) return f(Count<32>{});
        if (p == 48) return f(Count<48>{});
        if (p == 64) return f(Count<64>{});
    }
    f(Count<0>{});
}

template <class T> void lp(Shape shape, const T* x, const T* w, double p, T* y, Parallel parallel) {
    with_exponent<T>(p, [&](auto exponent) {
        constexpr int P = decltype(exponent)::value;
        if constexpr (P > 0 && P <= 32) lp_products<P>(shape, x, w, y, parallel);
        else if constexpr (P > 32) lp_scaled(shape, x, w, p, y, parallel, Product<P>{});
        else if (p < kSparseFrom) lp_scaled(shape, x, w, p, y, parallel, Real<T>{p});
        else lp_sparse(shape, x, w, p, y, parallel);
    });
}

template <class T>
void lp_backward(
    Shape shape, const T* grad, const T* x, const T* w, const T* y, double p, T* grad_x, T* grad_w,
    Parallel parallel) {
    with_exponent<T>(p, [&](auto exponent) {
        constexpr int P = decltype(exponent)::value;
        if constexpr (P > 0) lp_backward_dense(shape, grad, x, w, y, grad_x, grad_w, parallel, Product<P - 1>{});
        else if (p < kSparseFrom) lp_backward_dense(shape, grad, x, w, y, grad_x, grad_w, parallel, Real<T>{p - 1});
        else lp_backward_sparse(shape, grad, x, w, y, p, grad_x, grad_w, parallel);
    });
}

}  // namespace
