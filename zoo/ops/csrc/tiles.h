// Tiles of kRows x kColumns vectors: rows of x against groups of weight rows, kept in registers while
// the features go by.
#pragma once

#include "operands.h"

namespace {

// Where a tile lies: rows from b, vectors of columns from group g.
struct Tile {
    int64_t b, g;
};

// visit(Tile, Count<rows>, Count<columns>, scratch) for tiles that cover B x groups, on all threads,
// each of which has `scratch` vectors of its own.
template <class T, class F>
void each_tile(Parallel parallel, int64_t num_b, int64_t groups, int64_t scratch_size, F visit) {
    // Row blocks large enough to reuse the columns from cache, small enough to share among threads.
    constexpr int64_t kBlock = 8 * kRows;
    const int64_t blocks = ceil_div(num_b, kBlock), stripes = ceil_div(groups, kColumns);
    each_range(parallel, blocks * stripes, [&](int64_t begin, int64_t end) {
        const Buffer<T> buffer(scratch_size * kLanes<T>);
        T* scratch = buffer.get();
        for (int64_t task = begin; task < end; task++) {
            const int64_t g0 = task / blocks * kColumns, b0 = task % blocks * kBlock;
            const int64_t b1 = smaller(b0 + kBlock, num_b), g1 = smaller(g0 + kColumns, groups);
            int64_t b = b0;
            if (g1 - g0 == kColumns) {
                for (; b + kRows <= b1; b += kRows) visit(Tile{b, g0}, Count<kRows>{}, Count<kColumns>{}, scratch);
                for (; b < b1; b++) visit(Tile{b, g0}, Count<1>{}, Count<kColumns>{}, scratch);
            } else {
                for (int64_t g = g0; g < g1; g++) {
                    for (b = b0; b + kRows <= b1; b += kRows) visit(Tile{b, g}, Count<kRows>{}, Count<1>{}, scratch);
                    for (; b < b1; b++) visit(Tile{b, g}, Count<1>{}, Count<1>{}, scratch);
                }
            }
        }
    });
}

// Adds features [0, count) to a tile: total = step(total, x - w) in each lane.
template <class T, int R, int C, class Step>
ZOO_INLINE void sweep(
    V<T> (&total)[R][C], const T* x, int64_t x_width, const T* w, int64_t w_width, int64_t count, Step step) {
    for (int64_t i = 0; i < count; i++) {
        V<T> w_C[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; c++) w_C[c] = load(w + (c * w_width + i) * kLanes<T>);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const V<T> x_r = splat(x[r * x_width + i]);
#pragma GCC unroll 8
            for (int c = 0; c < C; c++) total[r][c] = step(total[r][c], x_r - w_C[c], r, c);
        }
    }
}

template <class T, int R, int C> ZOO_INLINE void clear(V<T> (&total)[R][C]) {
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int c = 0; c < C; c++) total[r][c] = V<T>{};
}

// Sums of a tile over features [0, count): runs of a few terms, then runs of runs, then these with
// what each addition loses kept aside. A rounding error grows with the number of terms that are added
// one after the other.
template <class T, int R, int C, class Step>
ZOO_INLINE void sweep_sum(
    V<T> (&sum)[R][C], const T* x, int64_t x_width, const T* w, int64_t w_width, int64_t count, Step step) {
    constexpr int64_t kRun = 16, kRuns = 8;
    V<T> lost[R][C];
    clear<T>(sum);
    clear<T>(lost);
    for (int64_t i = 0; i < count;) {
        V<T> runs[R][C];
        clear<T>(runs);
        for (const int64_t end = smaller(i + kRun * kRuns, count); i < end; i += kRun) {
            V<T> run[R][C];
            clear<T>(run);
            sweep<T>(run, x + i, x_width, w + i * kLanes<T>, w_width, smaller(kRun, count - i), step);
            for (int r = 0; r < R; r++)
                for (int c = 0; c < C; c++) runs[r][c] += run[r][c];
        }
        for (int r = 0; r < R; r++)
            for (int c = 0; c < C; c++) {
                const V<T> a = sum[r][c], b = runs[r][c], total = a + b, b_kept = total - a;
                lost[r][c] += (a - (total - b_kept)) + (b - b_kept);
                sum[r][c] = total;
            }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sum[r][c] += lost[r][c];
}

// Largest |x - w| of a tile over features [0, count).
template <class T, int R, int C>
ZOO_INLINE void sweep_max(
    V<T> (&most)[R][C], const T* x, int64_t x_width, const T* w, int64_t w_width, int64_t count) {
    clear<T>(most);
    sweep<T>(most, x, x_width, w, w_width, count, [](V<T> most, V<T> d, int, int) ZOO_LAMBDA { return abs_max(most, d); });
}

}  // namespace
