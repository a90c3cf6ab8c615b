// p = inf: y_bo = max_i |x_bi - w_oi|. One rounded subtraction, then a maximum: exact in any order.
#pragma once

#include "tiles.h"

namespace {

template <class T> void linf(Shape shape, const T* x, const T* w, T* y, Parallel parallel) {
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    each_tile<T>(parallel, shape.b, columns.groups, 0, [&](Tile tile, auto rows, auto cols, T*) {
        constexpr int R = decltype(rows)::value, C = decltype(cols)::value;
        V<T> most[R][C];
        sweep_max<T>(most, x + tile.b * shape.i, shape.i, columns[tile.g], columns.width, shape.i);
        for (int r = 0; r < R; r++)
            for (int c = 0; c < C; c++) {
                const int64_t o = (tile.g + c) * kLanes<T>;
                store_some<T>(y + (tile.b + r) * shape.o + o, most[r][c], shape.o - o);
            }
    });
}

// First feature of a chunk in which |x - w| = y.
template <class T> ZOO_INLINE int32_t first_in_chunk(const T* x, const T* w, T y) {
    // All of them, as a branch on each vector would be guessed wrong half of the time.
    uint64_t hits = 0;
#pragma GCC unroll 16
    for (int v = 0; v < kChunk; v += kLanes<T>)
        hits |= uint64_t(equal<T>(abs<T>(load(x + v) - load(w + v)), splat(y))) << v;
    return __builtin_ctzll(hits);
}

// Only the first chunk that reaches the maximum is kept on the way; its features are searched after.
template <class T> void linf_argmax(Shape shape, const T* x, const T* w, T* y, int32_t* at, Parallel parallel) {
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    const Rows<T> x_rows(x, shape.b, shape.i), w_rows(w, shape.o, shape.i);
    each_tile<T>(parallel, shape.b, columns.groups, 0, [&](Tile tile, auto rows, auto cols, T*) {
        constexpr int R = decltype(rows)::value, C = decltype(cols)::value;
        V<T> best[R][C];
        VI<T> where[R][C];
        for (int r = 0; r < R; r++)
            for (int c = 0; c < C; c++) best[r][c] = splat<T>(-1), where[r][c] = VI<T>{};
        for (int64_t i = 0; i < columns.width; i += kChunk) {
            V<T> most[R][C];
            sweep_max<T>(
                most, x_rows[tile.b] + i, x_rows.width, columns[tile.g] + i * kLanes<T>, columns.width, kChunk);
            const VI<T> here = VI<T>{} + typename IntOf<T>::type(i);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++)
#pragma GCC unroll 8
                for (int c = 0; c < C; c++) {
                    where[r][c] = most[r][c] > best[r][c] ? here : where[r][c];
                    best[r][c] = max(best[r][c], most[r][c]);
                }
        }
        for (int c = 0; c < C; c++) {
            const int64_t o0 = (tile.g + c) * kLanes<T>, count = smaller(kLanes<T>, shape.o - o0);
            for (int r = 0; r < R; r++) {
                const int64_t b = tile.b + r;
                store_some<T>(y + b * shape.o + o0, best[r][c], count);
                for (int64_t lane = 0; lane < count; lane++) {
                    const int64_t i = where[r][c][lane];
                    at[b * shape.o + o0 + lane] =
                        int32_t(i) + first_in_chunk(x_rows[b] + i, w_rows[o0 + lane] + i, T(best[r][c][lane]));
                }
            }
        }
    });
}

// Scatters sign(x - w) * grad to the winning feature. Each thread owns its rows of one gradient and
// adds in the order of the other index, so that sums do not depend on the number of threads.
template <class T>
void linf_backward(
    Shape shape, const T* grad, const T* x, const T* w, const int32_t* at, T* grad_x, T* grad_w, Parallel parallel) {
    const auto signed_grad = [&](int64_t b, int64_t o) {
        const int64_t pair = b * shape.o + o, i = at[pair];
        const T d = x[b * shape.i + i] - w[o * shape.i + i];
        return d > 0 ? grad[pair] : d < 0 ? -grad[pair] : T(0);
    };
    each_range(parallel, shape.b, [&](int64_t begin, int64_t end) {
        memset(grad_x + begin * shape.i, 0, (end - begin) * shape.i * sizeof(T));
        for (int64_t b = begin; b < end; b++)
            for (int64_t o = 0; o < shape.o; o++) grad_x[b * shape.i + at[b * shape.o + o]] += signed_grad(b, o);
    });
    // Neighbouring columns share cache lines of at and grad.
    constexpr int64_t kOutputs = 16;
    each_range(parallel, ceil_div(shape.o, kOutputs), [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; block++) {
            const int64_t o0 = block * kOutputs, o1 = smaller(o0 + kOutputs, shape.o);
            memset(grad_w + o0 * shape.i, 0, (o1 - o0) * shape.i * sizeof(T));
            for (int64_t b = 0; b < shape.b; b++)
                for (int64_t o = o0; o < o1; o++) grad_w[o * shape.i + at[b * shape.o + o]] -= signed_grad(b, o);
        }
    });
}

// Ends of the range over a box: max(lower - w, w - upper, 0) and max(upper - w, w - lower).
template <class T>
void linf_bounds(
    Shape shape, const T* lower, const T* upper, const T* w, T* lower_out, T* upper_out, Parallel parallel) {
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    constexpr int kPairs = kRows / 2, kGroups = kColumns / 2;  // four totals a pair fill the registers
    each_range(parallel, columns.groups, [&](int64_t begin, int64_t end) {
        const auto tile = [&](int64_t b, int64_t g, auto rows, auto cols) ZOO_LAMBDA {
            constexpr int R = decltype(rows)::value, C = decltype(cols)::value;
            V<T> lower_max[R][C], lower_min[R][C], upper_max[R][C], upper_min[R][C];
            for (int r = 0; r < R; r++)
                for (int c = 0; c < C; c++) {
                    lower_max[r][c] = upper_max[r][c] = splat<T>(-INFINITY);
                    lower_min[r][c] = upper_min[r][c] = splat<T>(INFINITY);
                }
            const T *lower_b = lower + b * shape.i, *upper_b = upper + b * shape.i, *w_g = columns[g];
            for (int64_t i = 0; i < shape.i; i++) {
                V<T> w_C[C];
#pragma GCC unroll 8
                for (int c = 0; c < C; c++) w_C[c] = load(w_g + (c * columns.width + i) * kLanes<T>);
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) {
                    const V<T> low = splat(lower_b[r * shape.i + i]), high = splat(upper_b[r * shape.i + i]);
#pragma GCC unroll 8
                    for (int c = 0; c < C; c++) {
                        lower_max[r][c] = max(lower_max[r][c], low - w_C[c]);
                        lower_min[r][c] = min(lower_min[r][c], low - w_C[c]);
                        upper_max[r][c] = max(upper_max[r][c], high - w_C[c]);
                        upper_min[r][c] = min(upper_min[r][c], high - w_C[c]);
                    }
                }
            }
            for (int r = 0; r < R; r++)
                for (int c = 0; c < C; c++) {
                    const int64_t o = (g + c) * kLanes<T>, at = (b + r) * shape.o + o;
                    store_some<T>(lower_out + at, max(max(lower_max[r][c], -upper_min[r][c]), V<T>{}), shape.o - o);
                    store_some<T>(upper_out + at, max(upper_max[r][c], -lower_min[r][c]), shape.o - o);
                }
        };
        each_tile_of<kPairs, kGroups>(0, shape.b, begin, end, tile);
    });
}

}  // namespace
