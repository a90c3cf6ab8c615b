// p = inf over the edges that a pruned layer has kept: y_bo = max_e |x[b][index_e] - value_e| over the edges e of
// output o, which are those from start_o to start_(o+1).
#pragma once

#include "linf.cuh"

namespace {

constexpr int kTurn = 32;

// x[r][c] to t[c][r], so that neighbouring threads, which have neighbouring rows, read neighbours.
template <class T>
__global__ void __launch_bounds__(kThreads) transpose(const T* x, int64_t rows, int64_t columns, T* t) {
    struct Square {
        T value[kTurn][kTurn + 1];
    };
    Square& square = shared<Square>();
    const int lane = threadIdx.x % kTurn, first = threadIdx.x / kTurn;
    const int64_t r0 = int64_t(blockIdx.x) * kTurn, c0 = int64_t(blockIdx.y) * kTurn;
    for (int k = first; k < kTurn; k += kThreads / kTurn)
        if (r0 + k < rows && c0 + lane < columns) square.value[k][lane] = x[(r0 + k) * columns + c0 + lane];
    __syncthreads();
    for (int k = first; k < kTurn; k += kThreads / kTurn)
        if (c0 + k < columns && r0 + lane < rows) t[(c0 + k) * rows + r0 + lane] = square.value[lane][k];
}

// Whatever the numbers are, nothing is read that is not there.
template <class T> struct Edges : zoo::Edges<T> {
    Shape shape;

    __device__ __forceinline__ int64_t edge(int32_t e) const { return e < 0 ? 0 : smaller(e, this->num_edges); }
    __device__ __forceinline__ int64_t feature(int64_t e) const { return smaller(this->index_E[e], shape.i - 1); }
};

template <class T> struct LargestEdge {
    const T* x_IB;
    T* y;
    __device__ __forceinline__ void of(const Edges<T>& edges, int64_t b, int64_t o, int64_t begin, int64_t end) const {
        T most = T(0);
        for (int64_t e = begin; e < end; e++)
            most = larger_or_nan(most, size_of(x_IB[edges.feature(e) * edges.shape.b + b] - edges.value_E[e]));
        y[b * edges.shape.o + o] = most;
    }
};

// With the first edge that wins.
template <class T> struct LargestEdgeAt {
    const T* x_IB;
    T* y;
    int32_t* edge;
    __device__ __forceinline__ void of(const Edges<T>& edges, int64_t b, int64_t o, int64_t begin, int64_t end) const {
        T most = T(-1);
        int64_t at = begin;
        for (int64_t e = begin; e < end; e++) {
            const T size = size_of(x_IB[edges.feature(e) * edges.shape.b + b] - edges.value_E[e]);
            if (wins(size, most)) at = e, most = size;
        }
        y[b * edges.shape.o + o] = most, edge[b * edges.shape.o + o] = int32_t(at);
    }
};

template <class T> struct EndsOfEdges {
    const T *lower_IB, *upper_IB;
    T *near, *far;
    __device__ __forceinline__ void of(const Edges<T>& edges, int64_t b, int64_t o, int64_t begin, int64_t end) const {
        T nearest = T(0), farthest = T(-INFINITY);
        for (int64_t e = begin; e < end; e++) {
            const int64_t at = edges.feature(e) * edges.shape.b + b;
            const T below = lower_IB[at] - edges.value_E[e], above = upper_IB[at] - edges.value_E[e];
            nearest = larger_or_nan(nearest, larger_or_nan(below, -above));
            farthest = larger_or_nan(farthest, larger_or_nan(above, -below));
        }
        near[b * edges.shape.o + o] = nearest, far[b * edges.shape.o + o] = farthest;
    }
};

// A warp has 32 rows and one output, whose edges all its threads read at once.
template <class T, class Op> __global__ void __launch_bounds__(kThreads) walk_edges(Edges<T> edges, Op op) {
    const int64_t b = int64_t(blockIdx.x) * kTurn + threadIdx.x % kTurn;
    const int64_t o = int64_t(blockIdx.y) * (kThreads / kTurn) + threadIdx.x / kTurn;
    if (b >= edges.shape.b || o >= edges.shape.o) return;
    op.of(edges, b, o, edges.edge(edges.start[o]), edges.edge(edges.start[o + 1]));
}

}  // namespace
