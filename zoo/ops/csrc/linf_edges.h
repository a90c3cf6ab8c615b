// p = inf over the edges that a pruned layer has kept: y_bo = max_e |x[b][index_e] - value_e| over the
// edges e of output o, which are those from start_o to start_(o+1).
#pragma once

#include "operands.h"

namespace {

// Outputs of groups of rows, lane = row, kept until they fill squares that are written as rows of y.
template <class T, int G> class Outputs {
    static constexpr int N = kLanes<T>;
    T* y_;
    Shape shape_;
    int64_t group_;
    V<T> square_[G][N];

  public:
    Outputs(T* y, Shape shape, int64_t group) : y_(y), shape_(shape), group_(group) {}

    ZOO_INLINE void put(int k, int64_t o, V<T> v) { square_[k][o % N] = v; }

    // After the last output of a square.
    ZOO_INLINE void write(int64_t o) {
        if ((o + 1) % N && o + 1 < shape_.o) return;
        const int64_t o0 = o / N * N, count = o + 1 - o0;
        for (int k = 0; k < G; k++) {
            transpose<T>(square_[k]);
            const int64_t b0 = (group_ + k) * N, rows = smaller(N, shape_.b - b0);
            for (int64_t lane = 0; lane < rows; lane++)
                store_some<T>(y_ + (b0 + lane) * shape_.o + o0, square_[k][lane], count);
        }
    }
};

constexpr int kGroupsOfTask = 4;  // groups of rows that share the reading of an edge

template <class T>
void linf_edges(Shape shape, const T* x, Edges<T> edges, T* y, Parallel parallel) {
    constexpr int N = kLanes<T>, G = kGroupsOfTask;
    const Columns<T, G> rows(x, shape.b, shape.i, parallel);
    each_range(parallel, rows.groups / G, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; block++) {
            Outputs<T, G> outputs(y, shape, block * G);
            for (int64_t o = 0; o < shape.o; o++) {
                V<T> even[G] = {}, odd[G] = {};
                const auto take = [&](V<T>(&most)[G], int32_t e) ZOO_LAMBDA {
                    const V<T> v = splat(edges.value_E[e]);
                    const T* x_e = rows[block * G] + edges.index_E[e] * G * N;
#pragma GCC unroll 4
                    for (int k = 0; k < G; k++) most[k] = abs_max(most[k], load(x_e + k * N) - v);
                };
                int32_t e = edges.start[o];
                for (; e + 1 < edges.start[o + 1]; e += 2) take(even, e), take(odd, e + 1);
                if (e < edges.start[o + 1]) take(even, e);
                for (int k = 0; k < G; k++) outputs.put(k, o, max(even[k], odd[k]));
                outputs.write(o);
            }
        }
    });
}

// As above, with the first edge that wins.
template <class T>
void linf_edges_argmax(Shape shape, const T* x, Edges<T> edges, T* y, int32_t* edge, Parallel parallel) {
    constexpr int N = kLanes<T>;
    const Columns<T> rows(x, shape.b, shape.i, parallel);
    each_range(parallel, rows.groups, [&](int64_t begin, int64_t end) {
        for (int64_t g = begin; g < end; g++) {
            Outputs<T, 1> outputs(y, shape, g);
            const int64_t b0 = g * N, count = smaller(N, shape.b - b0);
            for (int64_t o = 0; o < shape.o; o++) {
                V<T> most = splat<T>(-1);
                VI<T> where{};
                for (int32_t e = edges.start[o]; e < edges.start[o + 1]; e++) {
                    const V<T> size = abs<T>(load(rows[g] + edges.index_E[e] * N) - splat(edges.value_E[e]));
                    where = size > most ? VI<T>{} + typename IntOf<T>::type(e) : where;
                    most = max(most, size);
                }
                for (int64_t lane = 0; lane < count; lane++) edge[(b0 + lane) * shape.o + o] = int32_t(where[lane]);
                outputs.put(0, o, most);
                outputs.write(o);
            }
        }
    });
}

template <class T>
void linf_edges_bounds(
    Shape shape, const T* lower, const T* upper, Edges<T> edges, T* lower_out, T* upper_out, Parallel parallel) {
    constexpr int N = kLanes<T>, G = kGroupsOfTask;
    const Columns<T, G> lowers(lower, shape.b, shape.i, parallel), uppers(upper, shape.b, shape.i, parallel);
    each_range(parallel, lowers.groups / G, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; block++) {
            Outputs<T, G> near_outputs(lower_out, shape, block * G), far_outputs(upper_out, shape, block * G);
            for (int64_t o = 0; o < shape.o; o++) {
                V<T> near[G] = {}, far[G];
                for (int k = 0; k < G; k++) far[k] = splat<T>(-INFINITY);
                for (int32_t e = edges.start[o]; e < edges.start[o + 1]; e++) {
                    const V<T> v = splat(edges.value_E[e]);
#pragma GCC unroll 4
                    for (int k = 0; k < G; k++) {
                        const int64_t at = (edges.index_E[e] * G + k) * N;
                        const V<T> below = load(lowers[block * G] + at) - v, above = load(uppers[block * G] + at) - v;
                        near[k] = max(near[k], max(below, -above));
                        far[k] = max(far[k], max(above, -below));
                    }
                }
                for (int k = 0; k < G; k++) near_outputs.put(k, o, near[k]), far_outputs.put(k, o, far[k]);
                near_outputs.write(o), far_outputs.write(o);
            }
        }
    });
}

}  // namespace
