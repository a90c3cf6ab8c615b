// Finite p, where most terms are below rounding: a pass for the maxima of chunks of features, then
// powers only of the entries of those chunks that count, gathered until they fill vectors.
#pragma once

#include "lp_dense.h"

namespace {

template <class T> constexpr int kMantissa = sizeof(T) == 4 ? 24 : 53;
// A chunk is one vector: of those with an entry that counts, little else is looked at.
template <class T> constexpr int64_t kPiece = kLanes<T>;
constexpr int kGathered = 1024;                        // entries gathered before their powers are taken
template <class T> constexpr int kRoom = kGathered + 2 * kLanes<T>;  // entries are written by the vector

// ---------------------------------------------------------------------------------------------- values

// Ratios to the maximum, and the pair that each adds to.
template <class T> class Terms {
    Real<T> power_;
    double* sums_;  // however many terms, their sum rounds no worse than they do
    int count_ = 0;
    alignas(64) T ratio_[kRoom<T>];
    alignas(64) T term_[kRoom<T>];
    int32_t pair_[kRoom<T>];

  public:
    Terms(double p, double* sums) : power_{p}, sums_(sums) {}

    // The entries of one chunk whose ratio to `most` exceeds `share`. Without a branch on how many.
    ZOO_INLINE void add(const T* x, const T* w, T most, T inverse, T share, int32_t pair) {
        const int count = count_;
        const V<T> ratio = quotient<T>(abs<T>(load(x) - load(w)), splat(most), splat(inverse));
        for (int lane = 0; lane < kLanes<T>; lane++) pair_[count + lane] = pair;
        count_ = count + compress(ratio_ + count, ratio, greater<T>(ratio, splat(share)));
        if (count_ >= kGathered) flush();
    }

    void flush() {
        store(ratio_ + count_, V<T>{});  // the rest of the last vector
        for (int k = 0; k < count_; k += kLanes<T>) store(term_ + k, power_(load(ratio_ + k)));
        for (int k = 0; k < count_; k++) sums_[pair_[k]] += term_[k];
        count_ = 0;
    }
};

template <class T>
void lp_sparse(Shape shape, const T* x, const T* w, double p, T* y, Parallel parallel) {
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    const Rows<T> x_rows(x, shape.b, shape.i), w_rows(w, shape.o, shape.i);
    const int64_t chunks = ceil_div(shape.i, kPiece<T>);
    // Terms below this share of the largest add up to less than a quarter of a rounding of y.
    const double quarter = (std::log2(p / double(shape.i)) - kMantissa<T> - 2) / p;
    const T share = T(std::exp2(quarter < -1 / p ? quarter : -1 / p));
    constexpr int N = kLanes<T>;
    each_tile<T>(
        parallel, shape.b, columns.groups, chunks * kRows * kColumns, [&](Tile tile, auto rows, auto cols, T* scratch) {
            constexpr int R = decltype(rows)::value, C = decltype(cols)::value;
            const FlushToZero flush;
            V<T> most[R][C];
            clear<T>(most);
            for (int64_t k = 0; k < chunks; k++) {
                V<T> in_chunk[R][C];
                sweep_max<T>(
                    in_chunk, x_rows[tile.b] + k * N, x_rows.width, columns[tile.g] + k * N * N, columns.width, N);
                for (int r = 0; r < R; r++)
                    for (int c = 0; c < C; c++) {
                        most[r][c] = max(most[r][c], in_chunk[r][c]);
                        store<T>(scratch + ((k * R + r) * C + c) * N, in_chunk[r][c]);
                    }
            }
            alignas(64) T most_of[R * C * N], inverse_of[R * C * N];
            double sums[R * C * N];
            memset(sums, 0, sizeof sums);
            V<T> threshold[R][C];
            for (int r = 0; r < R; r++)
                for (int c = 0; c < C; c++) {
                    // Lanes beyond the last output, and pairs that count as equal, have nothing to add up.
                    const int64_t o = (tile.g + c) * N;
                    V<T> limit = most[r][c] > kSmallest<T> ? most[r][c] * share : splat(T(INFINITY));
                    for (int64_t lane = shape.o - o; lane < N; lane++) limit[lane] = T(INFINITY);
                    threshold[r][c] = limit;
                    store<T>(most_of + (r * C + c) * N, most[r][c]);
                    store<T>(inverse_of + (r * C + c) * N, T(1) / most[r][c]);
                }
            Terms<T> terms(p, sums);
            for (int64_t k = 0; k < chunks; k++)
                for (int r = 0; r < R; r++)
                    for (int c = 0; c < C; c++) {
                        const V<T> in_chunk = load(scratch + ((k * R + r) * C + c) * N);
                        for (uint32_t active = greater<T>(in_chunk, threshold[r][c]); active; active &= active - 1) {
                            const int lane = __builtin_ctz(active), pair = (r * C + c) * N + lane;
                            terms.add(
                                x_rows[tile.b + r] + k * N, w_rows[(tile.g + c) * N + lane] + k * N, most_of[pair],
                                inverse_of[pair], share, pair);
                        }
                    }
            terms.flush();
            for (int r = 0; r < R; r++)
                for (int c = 0; c < C; c++) {
                    const V<T> m = most[r][c];
                    V<T> sum;
                    for (int lane = 0; lane < N; lane++) sum[lane] = T(sums[(r * C + c) * N + lane]);
                    const V<T> value = m * root(max(sum, splat(T(1))), p);
                    const int64_t o = (tile.g + c) * N;
                    store_some<T>(
                        y + (tile.b + r) * shape.o + o, m > kSmallest<T> ? value : m, shape.o - o);
                }
        });
}

// ------------------------------------------------------------------------------------------- gradients

// Entries with |grad| * ratio^(p-1) below the first may be left out, as Adam does not feel them; but
// not where all gradients are so small: then below the second times the largest of grad.
constexpr double kNegligible = 1e-12, kNegligibleShare = 1e-8;

// |x - w| above which a pair's entries count; infinite for pairs that have none. [b][o of whole groups].
template <class T>
void fill_thresholds(
    Shape shape, int64_t groups, const T* grad, const T* y, double q, T* thresholds, Parallel parallel) {
    constexpr int N = kLanes<T>;
    const double relative = kNegligibleShare * double(largest(grad, shape.b * shape.o));
    const T negligible = T(relative < kNegligible ? relative : kNegligible);
    each_range(parallel, shape.b, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; b++)
            for (int64_t g = 0; g < groups; g++) {
                T y_O[N] = {}, grad_O[N] = {};
                const int64_t o = g * N, count = smaller(N, shape.o - o);
                memcpy(y_O, y + b * shape.o + o, count * sizeof(T));
                memcpy(grad_O, grad + b * shape.o + o, count * sizeof(T));
                const V<T> y_v = load(y_O), grad_v = abs<T>(load(grad_O)), least = splat(T(1e-30));
                const V<T> share = max(negligible / max(grad_v, least), least);
                // A little less, for the error of the root.
                const V<T> threshold = y_v * (T(0.999) * root(share, q));
                const V<T> reachable = y_v > kSmallest<T> ? threshold : splat(T(INFINITY));
                store<T>(thresholds + (b * groups + g) * N, grad_v > T(0) ? reachable : splat(T(INFINITY)));
            }
    });
}

// Entries of the gradients of one chunk of features, grad_x_B and grad_w_O of a vector's width.
template <class T> class Entries {
    Real<T> power_;
    T *grad_x_B_, *grad_w_O_;
    int count_ = 0;
    alignas(64) T ratio_[kRoom<T>];  // with the sign of x - w
    alignas(64) T grad_[kRoom<T>];
    int32_t feature_[kRoom<T>], b_[kRoom<T>], o_[kRoom<T>];

  public:
    Entries(double q, T* grad_x_B, T* grad_w_O) : power_{q}, grad_x_B_(grad_x_B), grad_w_O_(grad_w_O) {}

    // Those of a pair with |x - w| above the threshold. Without a branch on how many.
    ZOO_INLINE void add(const T* x, const T* w, T y, T grad, T threshold, int32_t b, int32_t o) {
        const int count = count_;
        const V<T> d = load(x) - load(w);
        const uint32_t counts = greater<T>(abs<T>(d), splat(threshold));
        store(grad_ + count, splat(grad));
        for (int lane = 0; lane < kLanes<T>; lane++) b_[count + lane] = b * int32_t(kPiece<T>);
        for (int lane = 0; lane < kLanes<T>; lane++) o_[count + lane] = o * int32_t(kPiece<T>);
        compress_lanes<T>(feature_ + count, counts);
        count_ = count + compress(ratio_ + count, quotient<T>(d, splat(y), splat(T(1) / y)), counts);
        if (count_ >= kGathered) flush();
    }

    void flush() {
        store(ratio_ + count_, V<T>{});  // the rest of the last vector
        store(grad_ + count_, V<T>{});
        for (int k = 0; k < count_; k += kLanes<T>) store(grad_ + k, load(grad_ + k) * power_(load(ratio_ + k)));
        for (int k = 0; k < count_; k++) {
            grad_x_B_[b_[k] + feature_[k]] += grad_[k];
            grad_w_O_[o_[k] + feature_[k]] -= grad_[k];
        }
        count_ = 0;
    }
};

template <class T>
void lp_backward_sparse(
    Shape shape, const T* grad, const T* x, const T* w, const T* y, double p, T* grad_x, T* grad_w,
    Parallel parallel) {
    constexpr int N = kLanes<T>;
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    const Rows<T> x_rows(x, shape.b, shape.i), w_rows(w, shape.o, shape.i);
    const int64_t groups = columns.groups;
    const Buffer<T> thresholds(shape.b * groups * N);
    fill_thresholds(shape, groups, grad, y, p - 1, thresholds.get(), parallel);
    each_range(parallel, ceil_div(shape.i, kPiece<T>), [&](int64_t begin, int64_t end) {
        const FlushToZero flush;
        const Buffer<T> grad_x_buffer(shape.b * kPiece<T>), grad_w_buffer(shape.o * kPiece<T>);
        T *grad_x_B = grad_x_buffer.get(), *grad_w_O = grad_w_buffer.get();
        Entries<T> entries(p - 1, grad_x_B, grad_w_O);
        for (int64_t chunk = begin; chunk < end; chunk++) {
            const int64_t i = chunk * kPiece<T>, count = smaller(kPiece<T>, shape.i - i);
            memset(grad_x_B, 0, shape.b * kPiece<T> * sizeof(T));
            memset(grad_w_O, 0, shape.o * kPiece<T> * sizeof(T));
            const auto tile = [&](int64_t b0, int64_t g, auto rows, auto cols) ZOO_LAMBDA {
                constexpr int R = decltype(rows)::value, C = decltype(cols)::value;
                V<T> most[R][C];
                sweep_max<T>(most, x_rows[b0] + i, x_rows.width, columns[g] + i * N, columns.width, kPiece<T>);
                for (int r = 0; r < R; r++)
                    for (int c = 0; c < C; c++) {
                        const int64_t b = b0 + r;
                        const T* threshold = thresholds.get() + (b * groups + g + c) * N;
                        for (uint32_t active = greater<T>(most[r][c], load(threshold)); active; active &= active - 1) {
                            const int lane = __builtin_ctz(active);
                            const int64_t o = (g + c) * N + lane, pair = b * shape.o + o;
                            entries.add(
                                x_rows[b] + i, w_rows[o] + i, y[pair], grad[pair], threshold[lane], int32_t(b),
                                int32_t(o));
                        }
                    }
            };
            each_tile_of<kRows, kColumns>(0, shape.b, 0, groups, tile);
            entries.flush();
            for (int64_t b = 0; b < shape.b; b++)
                memcpy(grad_x + b * shape.i + i, grad_x_B + b * kPiece<T>, count * sizeof(T));
            for (int64_t o = 0; o < shape.o; o++)
                memcpy(grad_w + o * shape.i + i, grad_w_O + o * kPiece<T>, count * sizeof(T));
        }
    });
}

}  // namespace
