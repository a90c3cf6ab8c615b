// Tiles of kRows x kColumns vectors: rows of x against groups of weight rows, kept in registers while
// the features go by.
#pragma once

#include "operands.h"

namespace {

// Where a tile lies: rows from b, vectors of columns from group g.
struct Tile {
    int64_t b, g;
};

// visit(b, g, Count<rows>, Count<columns>) for tiles of at most R x C that cover rows [b0, b1) and
// groups [g0, g1).
template <int R, int C, class F>
ZOO_INLINE void each_tile_of(int64_t b0, int64_t b1, int64_t g0, int64_t g1, F visit) {
    for (int64_t g = g0; g < g1;) {
        const bool wide = g + C <= g1;
        int64_t b = b0;
        for (; b + R <= b1; b += R)
            if (wide) visit(b, g, Count<R>{}, Count<C>{});
            else visit(b, g, Count<R>{}, Count<1>{});
        for (; b < b1; b++)
            if (wide) visit(b, g, Count<1>{}, Count<C>{});
            else visit(b, g, Count<1>{}, Count<1>{});
        g += wide ? C : 1;
    }
}

// visit(Tile, Count<rows>, Count<columns>, scratch) for tiles that cover B x groups, on all threads,
// each of which has `scratch` vectors of its own.
template <class T, class F>
void each_tile(Parallel parallel, int64_t num_b, int64_t groups, int64_t scratch_size, F visit) {
    // Row blocks large enough to reuse the columns from cache, small enough to share among threads.
    constexpr int64_t kRowsOfTask = 8 * kRows;
    const int64_t blocks = ceil_div(num_b, kRowsOfTask), stripes = ceil_div(groups, kColumns);
    each_range(parallel, blocks * stripes, [&](int64_t begin, int64_t end) {
        const Buffer<T> scratch(scratch_size * kLanes<T>);
        for (int64_t task = begin; task < end; task++) {
            const int64_t g = task / blocks * kColumns, b = task % blocks * kRowsOfTask;
            each_tile_of<kRows, kColumns>(
                b, smaller(b + kRowsOfTask, num_b), g, smaller(g + kColumns, groups),
                [&](int64_t b, int64_t g, auto rows, auto cols) { visit(Tile{b, g}, rows, cols, scratch.get()); });
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
