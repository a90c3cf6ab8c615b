// p = inf: y_bo = max_i |x_bi - w_oi|. A subtraction is all that rounds, so the bits are the CPU's.
#pragma once

#include "pairs.cuh"

namespace {

// ---------------------------------------------------------------------------------------------- values

template <class T> struct Largest {
    static constexpr int kOperands = 1;
    using State = T;
    T* y_PBO;  // P parts of the features
    Shape shape;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(T& most, Place) const { most = T(0); }
    __device__ __forceinline__ void step(T& most, const T (&x)[1], T w, bool) const {
        most = larger_or_nan(most, size_of(x[0] - w));
    }
    __device__ __forceinline__ void end_run(T&, int64_t) const {}
    __device__ __forceinline__ void write(Place at, const T& most) const {
        y_PBO[(at.part * shape.b + at.b) * shape.o + at.o] = most;
    }
};

// ------------------------------------------------------------------------------- values and their features

template <class T> struct Found {
    T most;
    int32_t at;
};

// Later ones win where they are larger; the first NaN stays.
template <class T> __device__ __forceinline__ bool wins(T later, T before) {
    return !(later <= before) && before == before;
}

// The maximum of a pair, and the run of features that reached it first: its winner is searched for in
// that run, after the fact.
template <class T> struct LargestAt {
    static constexpr int kOperands = 1;
    struct State {
        T most, before;
        int32_t run;
    };
    Found<T>* found_PBO;
    Shape shape;
    const T *x, *w;
    Cut cut;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(State& s, Place at) const {
        s.most = s.before = T(0);
        s.run = int32_t(at.part * cut.span);
    }
    __device__ __forceinline__ void step(State& s, const T (&x)[1], T w, bool) const {
        s.most = larger_or_nan(s.most, size_of(x[0] - w));
    }
    __device__ __forceinline__ void end_run(State& s, int64_t i) const {
        if (wins(s.most, s.before)) s.run = int32_t(i);
        s.before = s.most;
    }
    __device__ __forceinline__ void write(Place at, const State& s) const {
        const T *x_I = x + at.b * shape.i, *w_I = w + at.o * shape.i;
        int32_t i = s.run;
        const int32_t last = int32_t(smaller(i + kStep, shape.i)) - 1;
        for (; i < last; i++) {
            const T size = size_of(x_I[i] - w_I[i]);
            if (size == s.most || size != size) break;
        }
        found_PBO[(at.part * shape.b + at.b) * shape.o + at.o] = {s.most, i};
    }
};

// ---------------------------------------------------------------------------------------------- boxes

template <class T> struct Ends {
    T near, far;
};

// max(lower - w, w - upper, 0) and max(upper - w, w - lower).
template <class T> struct EndsOfBox {
    static constexpr int kOperands = 2;
    using State = Ends<T>;
    Ends<T>* ends_PBO;
    Shape shape;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(State& s, Place) const { s.near = s.far = T(0); }
    __device__ __forceinline__ void step(State& s, const T (&x)[2], T w, bool) const {
        const T below = x[0] - w, above = x[1] - w;
        s.near = larger_or_nan(s.near, larger_or_nan(below, -above));
        s.far = larger_or_nan(s.far, larger_or_nan(above, -below));
    }
    __device__ __forceinline__ void end_run(State&, int64_t) const {}
    __device__ __forceinline__ void write(Place at, const State& s) const {
        ends_PBO[(at.part * shape.b + at.b) * shape.o + at.o] = s;
    }
};

// ---------------------------------------------------------------------------- what the parts say together

// visit(pair) for each pair, one thread each.
template <class F> __global__ void __launch_bounds__(kThreads) each_pair(int64_t pairs, F visit) {
    const int64_t pair = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (pair < pairs) visit(pair);
}

// Takes the states that the parts have left of a pair, in their order: out.join(all, next), then out.write(pair, all).
template <class S, class Out> struct Join {
    const S* state_PBO;
    int64_t pairs;
    int parts;
    Out out;

    __device__ void operator()(int64_t pair) const {
        S all = state_PBO[pair];
        for (int part = 1; part < parts; part++) out.join(all, state_PBO[part * pairs + pair]);
        out.write(pair, all);
    }
};

template <class T> struct JoinLargest {
    T* y;
    __device__ __forceinline__ void join(T& all, T next) const { all = larger_or_nan(all, next); }
    __device__ __forceinline__ void write(int64_t pair, T all) const { y[pair] = all; }
};

template <class T> struct JoinFound {
    T* y;
    int32_t* at;
    __device__ __forceinline__ void join(Found<T>& all, const Found<T>& next) const {
        if (wins(next.most, all.most)) all = next;
    }
    __device__ __forceinline__ void write(int64_t pair, const Found<T>& all) const {
        y[pair] = all.most, at[pair] = all.at;
    }
};

template <class T> struct JoinEnds {
    T *lower, *upper;
    __device__ __forceinline__ void join(Ends<T>& all, const Ends<T>& next) const {
        all.near = larger_or_nan(all.near, next.near), all.far = larger_or_nan(all.far, next.far);
    }
    __device__ __forceinline__ void write(int64_t pair, const Ends<T>& all) const {
        lower[pair] = all.near, upper[pair] = all.far;
    }
};

template <class F> auto launch_each_pair(int64_t pairs, F visit, Stream stream) {
    return launch(each_pair<F>, dim3(pieces(pairs, kThreads)), kThreads, 0, stream, pairs, visit);
}

template <class S, class Out> auto join_parts(const S* state_PBO, int64_t pairs, int parts, Out out, Stream stream) {
    return launch_each_pair(pairs, Join<S, Out>{state_PBO, pairs, parts, out}, stream);
}

// ------------------------------------------------------------------------------------------- gradients

// sign(x - w) * grad, added up where it wins, in the order of the other index: the CPU's sums. A block has one row of
// a gradient in shared memory; each of its threads looks at all winners and takes those of its own features.
template <class T> struct Scatter {
    const T *grad_BO, *x_BI, *w_OI;
    const int32_t* at_BO;
    Shape shape;

    // What output o adds to row b of x's gradient, at which feature.
    __device__ __forceinline__ T slope(int64_t b, int64_t o, int32_t i) const {
        const T d = x_BI[b * shape.i + i] - w_OI[o * shape.i + i], grad = grad_BO[b * shape.o + o];
        // NaN, as d is.
        return d > 0 ? grad : d < 0 ? -grad : d == 0 ? T(0) : d;
    }
};

constexpr int kRow = 4096;  // features of a row that a block has at once

template <class T> struct RowOfGradient {
    T sum[kRow];
    T slope[kThreads];
    int32_t at[kThreads];
};

template <class T, bool kOfX>
__global__ void __launch_bounds__(kThreads) scatter_rows(Scatter<T> all, T* grad_RI) {
    using Row = RowOfGradient<T>;
    Row& row = shared<Row>();
    const Shape shape = all.shape;
    const int64_t r = blockIdx.x, others = kOfX ? shape.o : shape.b, i0 = int64_t(blockIdx.y) * kRow;
    const int count = int(smaller(kRow, shape.i - i0)), t = threadIdx.x;
    for (int i = t; i < count; i += kThreads) row.sum[i] = T(0);
    for (int64_t begin = 0; begin < others; begin += kThreads) {
        __syncthreads();
        const int64_t other = begin + t;
        int32_t at = -1;
        if (other < others) {
            const int64_t b = kOfX ? r : other, o = kOfX ? other : r;
            const int32_t i = all.at_BO[b * shape.o + o];
            if (i0 <= i && i < i0 + count) {
                at = int32_t(i - i0);
                row.slope[t] = all.slope(b, o, i);
            }
        }
        row.at[t] = at;
        __syncthreads();
        for (int k = 0; k < kThreads; k++) {
            const int32_t i = row.at[k];
            // Each feature has one thread, which meets the others in their order.
            if (i >= 0 && i % kThreads == t) row.sum[i] += kOfX ? row.slope[k] : -row.slope[k];
        }
    }
    for (int i = t; i < count; i += kThreads) grad_RI[r * shape.i + i0 + i] = row.sum[i];
}

}  // namespace
