// Finite p: y_bo = (sum_i |x_bi - w_oi|^p)^(1/p), in one of three ways.
//
//   in one pass     powers by products, at a scale common to all pairs; pairs in which that loses digits are done
//                   again, each by one thread
//   in two passes   one for the maximum of each pair, one for powers of what is scaled by it
//   of few terms    the same, but powers only of what exceeds a share of the maximum: the others are below rounding
//
// Sums are of runs of kStep terms, of kRuns runs, and of parts in double: an error grows with what is added in a row.
#pragma once

#include "linf.cuh"
#include "power.cuh"

namespace {

constexpr int64_t kSumSpan = 512;  // features of a part

template <class T> struct Sum {
    T run, total;

    __device__ __forceinline__ void clear() { run = total = T(0); }
    __device__ __forceinline__ void end_run() { total += run, run = T(0); }
};

// --------------------------------------------------------------------------------------------- one pass

// p = P whole and even.
template <int P> struct SumOfProducts {
    static constexpr int kOperands = 1;
    using State = Sum<float>;
    float* sum_PBO;
    const float* scale_at;  // a power of two by which no |x - w| exceeds 1
    Shape shape;
    float scale = 0;

    __device__ __forceinline__ void begin() { scale = *scale_at; }
    __device__ __forceinline__ void clear(State& s, Place) const { s.clear(); }
    __device__ __forceinline__ void step(State& s, const float (&x)[1], float w, bool) const {
        const float half = product<P / 2>((x[0] - w) * scale);
        s.run = fmaf(half, half, s.run);
    }
    __device__ __forceinline__ void end_run(State& s, int64_t) const { s.end_run(); }
    __device__ __forceinline__ void write(Place at, const State& s) const {
        sum_PBO[(at.part * shape.b + at.b) * shape.o + at.o] = s.total;
    }
};

// -------------------------------------------------------------------------------------------- two passes

// The maxima are there; a pair keeps the power of two that brings its own into [0.5, 1).
template <class T, class Power> struct SumOfScaled {
    static constexpr int kOperands = 1;
    struct State {
        Sum<T> sum;
        T scale;
    };
    T* sum_PBO;
    const T* most_BO;
    Shape shape;
    Power power;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(State& s, Place at) const {
        s.sum.clear();
        const T most = most_BO[at.b * shape.o + at.o];
        s.scale = scale_to_half(most > Limits<T>::kSmallest ? most : T(1));
    }
    __device__ __forceinline__ void step(State& s, const T (&x)[1], T w, bool) const {
        s.sum.run += size_of(power((x[0] - w) * s.scale));
    }
    __device__ __forceinline__ void end_run(State& s, int64_t) const { s.sum.end_run(); }
    __device__ __forceinline__ void write(Place at, const State& s) const {
        sum_PBO[(at.part * shape.b + at.b) * shape.o + at.o] = s.sum.total;
    }
};

// Terms of what exceeds `share` of the maximum, as powers of its ratio to the maximum.
template <class T> struct SumOfFew {
    static constexpr int kOperands = 1;
    struct State {
        T sum, most, threshold;
    };
    T* sum_PBO;
    const T* most_BO;
    Shape shape;
    Real power;
    T share;

    __device__ __forceinline__ void begin() {}
    __device__ __forceinline__ void clear(State& s, Place at) const {
        s.sum = T(0);
        s.most = most_BO[at.b * shape.o + at.o];
        // Pairs that count as equal have nothing to add up; NaN is let through.
        s.threshold = s.most <= Limits<T>::kSmallest ? T(INFINITY) : s.most * share;
    }
    __device__ __forceinline__ void step(State& s, const T (&x)[1], T w, bool) const {
        const T size = size_of(x[0] - w);
        if (!(size <= s.threshold)) s.sum += power(size / s.most);
    }
    __device__ __forceinline__ void end_run(State&, int64_t) const {}
    __device__ __forceinline__ void write(Place at, const State& s) const {
        sum_PBO[(at.part * shape.b + at.b) * shape.o + at.o] = s.sum;
    }
};

// Terms below this share of the largest add up to less than a quarter of a rounding of y.
template <class T> T share_that_counts(double p, int64_t num_in) {
    const double quarter = (std::log2(p / double(num_in)) - Limits<T>::kMantissa - 2) / p;
    return T(std::exp2(quarter < -1 / p ? quarter : -1 / p));
}

// ------------------------------------------------------------------------------------------------ roots

template <class T>
__device__ __forceinline__ double sum_of_parts(const T* sum_PBO, int64_t pairs, int parts, int64_t pair) {
    double sum = 0;
    for (int part = 0; part < parts; part++) sum += double(sum_PBO[part * pairs + pair]);
    return sum;
}

// After the one pass. A pair whose sum is small at the common scale has lost terms to underflow.
template <int P> struct RootOfProducts {
    const float *sum_PBO, *x_BI, *w_OI, *scale;
    float* y;
    Shape shape;
    int parts;

    __device__ void operator()(int64_t pair) const {
        constexpr double kTooSmall = 8e-28;  // 2^-90: lost terms are below 2^-126, a million of them below a rounding
        const double sum = sum_of_parts(sum_PBO, shape.b * shape.o, parts, pair);
        if (sum < kTooSmall) y[pair] = alone(x_BI + pair / shape.o * shape.i, w_OI + pair % shape.o * shape.i);
        else y[pair] = float(pow(sum, 1.0 / P) / double(*scale));
    }

    __device__ float alone(const float* x_I, const float* w_I) const {
        float most = 0;
        for (int64_t i = 0; i < shape.i; i++) most = larger_or_nan(most, size_of(x_I[i] - w_I[i]));
        if (!(most > Limits<float>::kSmallest)) return most;
        double sum = 0;
        for (int64_t i = 0; i < shape.i; i++) sum += product<P>(double(x_I[i] - w_I[i]) / most);
        return float(most * pow(sum, 1.0 / P));
    }
};

// After two passes: m * sum^(1/p) where terms are powers of ratios to m, sum^(1/p) / s where m is scaled by s.
template <class T, bool kScaled> struct RootOfRatios {
    const T *sum_PBO, *most_BO;
    T* y;
    double p;
    int64_t pairs;
    int parts;

    __device__ void operator()(int64_t pair) const {
        const T most = most_BO[pair];
        const double sum = sum_of_parts(sum_PBO, pairs, parts, pair);
        const double unit = kScaled ? 1 / double(scale_to_half(most)) : double(most);
        // What is not finite is its own distance.
        y[pair] = most > Limits<T>::kSmallest && most < T(INFINITY) ? T(unit * pow(sum, 1 / p)) : most;
    }
};

// ------------------------------------------------------------------------------------------ common scale

// Largest sizes, of x in one block and of w in the others; what is not finite counts as large.
template <class T> __global__ void __launch_bounds__(kThreads) largest_of(const T* values, int64_t count, T* most_G) {
    struct Sizes {
        T of[kThreads];
    };
    T* size = shared<Sizes>().of;
    T most = T(0);
    for (int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x; k < count; k += int64_t(gridDim.x) * kThreads)
        most = larger_or_nan(most, size_of(values[k]));
    const int t = threadIdx.x;
    size[t] = most;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
        if (t < half) size[t] = larger_or_nan(size[t], size[t + half]);
        __syncthreads();
    }
    if (t == 0) most_G[blockIdx.x] = size[0];
}

// The power of two below 1 / (max |x| + max |w|), and 1 where there is none.
struct CommonScale {
    const float *x_G, *w_G;
    int groups;
    float* scale;

    __device__ void operator()(int64_t) const {
        float x = 0, w = 0;
        for (int g = 0; g < groups; g++) x = larger_or_nan(x, x_G[g]), w = larger_or_nan(w, w_G[g]);
        const float sum = x + w;
        *scale = sum > 1e-35f && sum < 8e37f ? scale_to_half(sum) : 1.0f;
    }
};

}  // namespace
