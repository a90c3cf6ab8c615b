// Finite p, every term evaluated.
//
// Values, two ways:
//   in one pass     operands are scaled by one power of two, and tiles in which that loses digits are
//                   done again the other way; for powers by products;
//   in two passes   one for the maximum of each pair, one for powers of what is scaled by it.
//
// Gradients, with slope_boi = sign(x_bi - w_oi) * (|x_bi - w_oi| / y_bo)^(p-1):
// dx_bi = sum_o grad_bo * slope_boi and dw_oi = -sum_b grad_bo * slope_boi, from one evaluation.
// Each thread owns features, of both gradients: nothing is summed across threads.
#pragma once

#include "power.h"
#include "tiles.h"

namespace {

// Pairs at a smaller distance count as equal: below, no power of two or inverse is a normal number.
template <class T> constexpr T kSmallest = sizeof(T) == 4 ? T(1e-37) : T(1e-300);

template <class T> struct Operands {
    Shape shape;
    const T* x;
    const Columns<T>& columns;
    T* y;
};

template <class T, int R, int C, class Power>
ZOO_INLINE void scaled_tile(const Operands<T>& a, Tile tile, double p, T unscale, Power power) {
    const Shape shape = a.shape;
    const T *x = a.x + tile.b * shape.i, *w = a.columns[tile.g];
    V<T> most[R][C], scale[R][C], inverse[R][C], sum[R][C];
    sweep_max<T>(most, x, shape.i, w, a.columns.width, shape.i);
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            scale[r][c] = scale_to_half(max(most[r][c], splat(kSmallest<T>)), inverse[r][c]);
    sweep_sum<T>(
        sum, x, shape.i, w, a.columns.width, shape.i,
        [&](V<T> sum, V<T> d, int r, int c) ZOO_LAMBDA { return sum + abs<T>(power(d * scale[r][c])); });
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) {
            const V<T> y = root(sum[r][c], p) * inverse[r][c];
            const V<T> checked = most[r][c] > kSmallest<T> ? y : most[r][c];
            const int64_t o = (tile.g + c) * kLanes<T>;
            store_some<T>(a.y + (tile.b + r) * shape.o + o, checked * unscale, shape.o - o);
        }
}

template <class T, class Power>
void lp_scaled(Shape shape, const T* x, const T* w, double p, T* y, Parallel parallel, Power power) {
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    const Operands<T> operands{shape, x, columns, y};
    each_tile<T>(parallel, shape.b, columns.groups, 0, [&](Tile tile, auto rows, auto cols, T*) {
        const FlushToZero flush;
        scaled_tile<T, decltype(rows)::value, decltype(cols)::value>(operands, tile, p, T(1), power);
    });
}

// P = p whole and even. Powers at a scale common to all pairs: nothing is known of a pair beforehand.
template <int P> void lp_products(Shape shape, const float* x, const float* w, float* y, Parallel parallel) {
    // No |x - w| exceeds the sum; scaling by a power of two rounds nothing.
    int exponent;
    std::frexp(largest(x, shape.b * shape.i) + largest(w, shape.o * shape.i), &exponent);
    // Far from 1 some operands would lose digits or the scale be no number.
    if (exponent < -100 || exponent > 24) return lp_scaled(shape, x, w, P, y, parallel, Product<P>{});
    const float scale = std::ldexp(1.0f, -exponent), unscale = std::ldexp(1.0f, exponent);
    const Buffer<float> x_scaled(shape.b * shape.i);
    for (int64_t k = 0; k < shape.b * shape.i; k++) x_scaled.get()[k] = x[k] * scale;
    const Columns<float> columns(w, shape.o, shape.i, parallel, scale);
    const Operands<float> operands{shape, x_scaled.get(), columns, y};
    constexpr float kTooSmall = 8e-28f;  // 2^-90: lost terms are below 2^-126, and a million of them below a rounding
    each_tile<float>(parallel, shape.b, columns.groups, 0, [&](Tile tile, auto rows, auto cols, float*) {
        constexpr int R = decltype(rows)::value, C = decltype(cols)::value, N = kLanes<float>;
        const FlushToZero flush;
        V<float> sum[R][C];
        sweep_sum<float>(
            sum, operands.x + tile.b * shape.i, shape.i, columns[tile.g], columns.width, shape.i,
            [](V<float> sum, V<float> d, int, int) ZOO_LAMBDA {
                const V<float> half = product<P / 2>(d);
                return fma(half, half, sum);
            });
        bool lost = false;
        for (int r = 0; r < R; r++)
            for (int c = 0; c < C; c++) {
                const int64_t o = (tile.g + c) * N, count = smaller(N, shape.o - o);
                const uint32_t real_lanes = uint32_t((uint64_t(1) << count) - 1);
                lost |= (greater<float>(splat(kTooSmall), sum[r][c]) & real_lanes) != 0;
                store_some<float>(
                    y + (tile.b + r) * shape.o + o, root(max(sum[r][c], splat(kTooSmall)), P) * unscale, count);
            }
        if (lost) scaled_tile<float, R, C>(operands, tile, P, unscale, Product<P>{});
    });
}

// ------------------------------------------------------------------------------------------- gradients

constexpr int kBackRows = kBytes == 64 ? 8 : 4;  // rows of x whose gradients stay in registers

// Scales and coefficients of pairs, [b / kBackRows][o][scale, coefficient][b % kBackRows]. The scale
// brings y into [0.5, 1) exactly, so that a slope's only error is that of the power.
template <class T, class Power>
void fill_coefficients(Shape shape, const T* grad, const T* y, T* pairs, Power power, Parallel parallel) {
    using Int = typename IntOf<T>::type;
    constexpr int R = kBackRows, kFraction = sizeof(T) == 4 ? 23 : 52;
    constexpr Int kHalf = sizeof(T) == 4 ? 253 : 2045;
    each_range(parallel, ceil_div(shape.b, R), [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; block++)
            for (int64_t o = 0; o < shape.o; o++) {
                T* scale = pairs + (block * shape.o + o) * 2 * R;
                T y_R[R], grad_R[R];
                for (int r = 0; r < R; r++) {
                    const int64_t b = smaller(block * R + r, shape.b - 1);
                    y_R[r] = y[b * shape.o + o];
                    grad_R[r] = block * R + r < shape.b && y_R[r] > kSmallest<T> ? grad[b * shape.o + o] : T(0);
                    y_R[r] = y_R[r] > kSmallest<T> ? y_R[r] : T(1);
                }
                for (int r = 0; r < R; r++) {
                    Int bits;
                    memcpy(&bits, &y_R[r], sizeof bits);
                    bits = (kHalf - (bits >> kFraction)) << kFraction;
                    memcpy(&scale[r], &bits, sizeof bits);
                    scale[R + r] = T(grad_R[r] / power.of_scalar(double(y_R[r]) * double(scale[r])));
                }
            }
    });
}

template <class T, class Power>
void lp_backward_dense(
    Shape shape, const T* grad, const T* x, const T* w, const T* y, T* grad_x, T* grad_w, Parallel parallel,
    Power power) {
    constexpr int R = kBackRows, N = kLanes<T>;
    const int64_t blocks = ceil_div(shape.b, R);
    const Buffer<T> pairs(blocks * shape.o * 2 * R);
    fill_coefficients(shape, grad, y, pairs.get(), power, parallel);
    const Rows<T> x_rows(x, shape.b, shape.i), w_rows(w, shape.o, shape.i);
    each_range(parallel, ceil_div(shape.i, N), [&](int64_t begin, int64_t end) {
        const FlushToZero flush;
        const Buffer<T> w_buffer(shape.o * N), grad_w_buffer(shape.o * N);
        T *w_O = w_buffer.get(), *grad_w_O = grad_w_buffer.get();
        for (int64_t column = begin; column < end; column++) {
            const int64_t i = column * N, count = smaller(N, shape.i - i);
            for (int64_t o = 0; o < shape.o; o++) store(w_O + o * N, load(w_rows[o] + i));
            memset(grad_w_O, 0, shape.o * kBytes);
            for (int64_t block = 0; block < blocks; block++) {
                V<T> x_R[R], grad_R[R];
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) {
                    x_R[r] = load(x_rows[smaller(block * R + r, shape.b - 1)] + i);
                    grad_R[r] = V<T>{};
                }
                const T* pair = pairs.get() + block * shape.o * 2 * R;
                for (int64_t o = 0; o < shape.o; o++, pair += 2 * R) {
                    const V<T> w_o = load(w_O + o * N);
                    V<T> even{}, odd{};
#pragma GCC unroll 8
                    for (int r = 0; r < R; r++) {
                        const V<T> d = x_R[r] - w_o;
                        const V<T> slope = power(d * splat(pair[r])), grad = splat(pair[R + r]);
                        grad_R[r] = fma(grad, slope, grad_R[r]);
                        if (r % 2) odd = fma(grad, slope, odd);
                        else even = fma(grad, slope, even);
                    }
                    store(grad_w_O + o * N, load(grad_w_O + o * N) + (even + odd));
                }
                for (int r = 0; r < R && block * R + r < shape.b; r++)
                    store_some<T>(grad_x + (block * R + r) * shape.i + i, grad_R[r], count);
            }
            for (int64_t o = 0; o < shape.o; o++)
                store_some<T>(grad_w + o * shape.i + i, -load(grad_w_O + o * N), count);
        }
    });
}

}  // namespace
