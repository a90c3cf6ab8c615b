// Order statistics: y_bo = sum_k v_k * a_(k), a sorted |x - w| of a pair from the largest down. Products and sums round
// in the order of k, each by itself: the CPU's bits.
#pragma once

#include "linf.cuh"

namespace {

// The M largest of a pair, from the largest down; ties in the order of the features.
template <class T, int M> struct Top {
    T size[M];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int m = 0; m < M; m++) size[m] = T(-1);
    }
    __device__ __forceinline__ void insert(T new_size) {
        if (!(new_size > size[M - 1])) return;
        // From the smallest up: no step waits for another.
#pragma unroll
        for (int m = M - 1; m > 0; m--) {
            const T pushed = new_size < size[m - 1] ? new_size : size[m - 1];
            size[m] = pushed > size[m] ? pushed : size[m];
        }
        size[0] = new_size > size[0] ? new_size : size[0];
    }
    __device__ __forceinline__ T ordered_sum(const T* v, int num_k) const {
        T sum = size[0] * v[0];
#pragma unroll
        for (int m = 1; m < M; m++)
            if (m < num_k) sum += size[m] * v[m];
        return sum;
    }
};

template <class T, int M> struct Sorted {
    static constexpr int kOperands = 1;
    struct State {
        Top<T, M> top;
        T seen;  // NaN once there was one
    };
    const T* v_K;
    int num_k;
    T* y;
    Shape shape;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(State& s, Place) const { s.top.clear(), s.seen = T(0); }
    __device__ __forceinline__ void step(State& s, const T (&x)[1], T w, bool real) const {
        const T size = size_of(x[0] - w);
        s.seen = larger_or_nan(s.seen, size);
        if (real) s.top.insert(size);
    }
    __device__ __forceinline__ void end_run(State&, int64_t) const {}
    __device__ __forceinline__ void write(Place at, const State& s) const {
        y[at.b * shape.o + at.o] = s.seen == s.seen ? s.top.ordered_sum(v_K, num_k) : s.seen;
    }
};

// Order statistics of each coordinate's smallest and largest difference over a box.
template <class T, int M> struct SortedEnds {
    static constexpr int kOperands = 2;
    struct State {
        Top<T, M> near, far;
        T seen;
    };
    const T* v_K;
    int num_k;
    T *lower, *upper;
    Shape shape;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(State& s, Place) const { s.near.clear(), s.far.clear(), s.seen = T(0); }
    __device__ __forceinline__ void step(State& s, const T (&x)[2], T w, bool real) const {
        const T below = x[0] - w, above = x[1] - w;
        s.seen = larger_or_nan(s.seen, larger_or_nan(size_of(below), size_of(above)));
        if (!real) return;
        const T near = below > -above ? below : -above;
        s.near.insert(near > T(0) ? near : T(0));
        s.far.insert(above > -below ? above : -below);
    }
    __device__ __forceinline__ void end_run(State&, int64_t) const {}
    __device__ __forceinline__ void write(Place at, const State& s) const {
        const int64_t pair = at.b * shape.o + at.o;
        lower[pair] = s.seen == s.seen ? s.near.ordered_sum(v_K, num_k) : s.seen;
        upper[pair] = s.seen == s.seen ? s.far.ordered_sum(v_K, num_k) : s.seen;
    }
};

// Features of the K largest, [b][o][k].
template <class T, int M> struct SortedAt {
    static constexpr int kOperands = 1;
    struct State {
        T size[M];
        int32_t at[M], next;
    };
    int num_k;
    int32_t* at_BOK;
    Shape shape;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(State& s, Place) const {
        s.next = 0;
#pragma unroll
        for (int m = 0; m < M; m++) s.size[m] = T(-1), s.at[m] = 0;
    }
    __device__ __forceinline__ void step(State& s, const T (&x)[1], T w, bool real) const {
        T size = size_of(x[0] - w);
        int32_t from = s.next++;
        if (!real || !(size > s.size[M - 1])) return;
        bool before = false;
#pragma unroll
        for (int m = 0; m < M; m++) {
            before = before || size > s.size[m];  // what is pushed down goes before its equals, which came later
            const T here = s.size[m];
            const int32_t here_at = s.at[m];
            s.size[m] = before ? size : here, s.at[m] = before ? from : here_at;
            size = before ? here : size, from = before ? here_at : from;
        }
    }
    __device__ __forceinline__ void end_run(State&, int64_t) const {}
    __device__ __forceinline__ void write(Place at, const State& s) const {
        int32_t* to = at_BOK + (at.b * shape.o + at.o) * num_k;
#pragma unroll
        for (int m = 0; m < M; m++)
            if (m < num_k) to[m] = s.at[m];
    }
};

}  // namespace
