// Gradients at finite p. With slope_boi = sign(x_bi - w_oi) * (|x_bi - w_oi| / y_bo)^(p-1),
// dx_bi = sum_o grad_bo * slope_boi and dw_oi = -sum_b grad_bo * slope_boi, from one evaluation.
//
// A thread has one feature and some rows of x: its sums over outputs stay in registers, and what its rows give to the
// weights is added up over the rows of the block. No two threads add to one number, so sums have one order.
#pragma once

#include "lp.cuh"

namespace {

constexpr int kFeatures = 32, kGroups = kThreads / kFeatures;  // a warp has neighbouring features of some rows
// Outputs whose pairs a block has in shared memory.
template <class T> constexpr int kOutputs = sizeof(T) == 4 ? 32 : 16;
template <class T> constexpr int kRowsOfThread = sizeof(T) == 4 ? 16 : 8;
template <class T> constexpr int kRowsOfBlock = kRowsOfThread<T> * kGroups;

// What a pair's entries are made of.
//
// All entries count: grad * (d / y)^q = coefficient * (d * scale)^q, scale the power of two for which y * scale is in
// [0.5, 1), so that a slope's only error is that of the power.
template <class T, class Power> struct AllSlopes {
    struct Pair {
        T scale, coefficient;
    };
    Power power;

    __device__ __forceinline__ Pair pair(T grad, T y) const {
        if (!(y > Limits<T>::kSmallest)) return {T(1), y == y ? T(0) : y};
        const T scale = scale_to_half(y);
        return {scale, T(double(grad) / power.of_scalar(double(y) * double(scale)))};
    }
    __device__ __forceinline__ void add(const Pair& pair, T d, T& of_x, T& of_w) const {
        const T slope = power(d * pair.scale);
        of_x = fma(pair.coefficient, slope, of_x);
        of_w = fma(pair.coefficient, slope, of_w);
    }
};

// Entries with |grad| * ratio^q below the first may be left out, as Adam does not feel them; but not where all
// gradients are so small: then below the second times the largest of grad.
constexpr double kNegligible = 1e-12, kNegligibleShare = 1e-8;

// Only entries beyond a threshold count, as powers of their ratio to y.
template <class T> struct FewSlopes {
    struct Pair {
        T y, grad, threshold;
    };
    Real power;
    const T* largest_G;  // of grad
    int groups;
    T negligible = T(0);

    __device__ __forceinline__ void begin() {
        T most = T(0);
        for (int g = 0; g < groups; g++) most = larger_or_nan(most, largest_G[g]);
        const double relative = kNegligibleShare * double(most);
        negligible = T(relative < kNegligible ? relative : kNegligible);
    }
    __device__ __forceinline__ Pair pair(T grad, T y) const {
        const T size = size_of(grad);
        if (y <= Limits<T>::kSmallest || grad == T(0)) return {T(1), T(0), T(INFINITY)};
        const double share = double(negligible) / double(size);
        // A little less, for the error of the root.
        const double threshold = double(y) * 0.999 * pow(share > 1e-30 ? share : 1e-30, 1 / power.q);
        return {y, grad, T(threshold)};
    }
    __device__ __forceinline__ void add(const Pair& pair, T d, T& of_x, T& of_w) const {
        if (size_of(d) <= pair.threshold) return;
        const T slope = power(d / pair.y);
        of_x = fma(pair.grad, slope, of_x);
        of_w = fma(pair.grad, slope, of_w);
    }
};

template <class T, class Slopes> struct Gradients {
    Shape shape;
    const T *grad_BO, *x_BI, *w_OI, *y_BO;
    int64_t outputs;  // of a part, a multiple of kOutputs<T>
    int64_t first_b;  // of the rows of this launch
    T *grad_x_PBI, *grad_w_POI;
    Slopes slopes;
};

template <class T, class Slopes> struct SlopesShared {
    typename Slopes::Pair pair[kOutputs<T>][kRowsOfBlock<T>];
    T of_w[kGroups][kOutputs<T>][kFeatures];
};

// x of the grid: features; y: parts of the outputs; z: parts of the rows.
template <class T, class Slopes> __global__ void __launch_bounds__(kThreads, 2) gradients(Gradients<T, Slopes> all) {
    constexpr int R = kRowsOfThread<T>;
    using Memory = SlopesShared<T, Slopes>;
    Memory& memory = shared<Memory>();
    Slopes slopes = all.slopes;
    if constexpr (std::is_same_v<Slopes, FewSlopes<T>>) slopes.begin();
    const Shape shape = all.shape;
    const int lane = threadIdx.x % kFeatures, group = threadIdx.x / kFeatures;
    const int64_t i = int64_t(blockIdx.x) * kFeatures + lane, column = smaller(i, shape.i - 1);
    const int64_t b0 = all.first_b + int64_t(blockIdx.z) * kRowsOfBlock<T>, b1 = b0 + group * R;
    const int64_t begin = blockIdx.y * all.outputs, end = smaller(begin + all.outputs, shape.o);
    T x[R], of_x[R];
#pragma unroll
    for (int r = 0; r < R; r++) {
        x[r] = all.x_BI[smaller(b1 + r, shape.b - 1) * shape.i + column];
        of_x[r] = T(0);
    }
    for (int64_t o0 = begin; o0 < end; o0 += kOutputs<T>) {
        const int count = int(smaller(kOutputs<T>, end - o0));
        for (int k = threadIdx.x; k < kOutputs<T> * kRowsOfBlock<T>; k += kThreads) {
            // Neighbouring threads take neighbouring outputs, as they lie in memory.
            const int output = k % kOutputs<T>, row = k / kOutputs<T>;
            const bool real = b0 + row < shape.b && output < count;
            const int64_t at = smaller(b0 + row, shape.b - 1) * shape.o + smaller(o0 + output, shape.o - 1);
            memory.pair[output][row] = slopes.pair(real ? all.grad_BO[at] : T(0), real ? all.y_BO[at] : T(0));
        }
        __syncthreads();
        for (int k = 0; k < count; k++) {
            const T w = all.w_OI[(o0 + k) * shape.i + column];
            T of_w = T(0);
#pragma unroll
            for (int r = 0; r < R; r++) slopes.add(memory.pair[k][group * R + r], x[r] - w, of_x[r], of_w);
            memory.of_w[group][k][lane] = of_w;
        }
        __syncthreads();
        for (int k = group; k < count; k += kGroups) {
            T sum = T(0);
#pragma unroll
            for (int g = 0; g < kGroups; g++) sum += memory.of_w[g][k][lane];
            if (i < shape.i) all.grad_w_POI[(blockIdx.z * shape.o + o0 + k) * shape.i + i] = -sum;
        }
        // The next pairs are written while sums are still read, and the next sums behind their barrier.
    }
    if (i >= shape.i) return;
#pragma unroll
    for (int r = 0; r < R; r++)
        if (b1 + r < shape.b) all.grad_x_PBI[(blockIdx.y * shape.b + b1 + r) * shape.i + i] = of_x[r];
}

// Sums of parts, in their order, on top of what is there already.
template <class T> struct JoinSums {
    const T* parts_PN;
    T* sum_N;
    int64_t count;
    int parts;
    bool onto;

    __device__ void operator()(int64_t n) const {
        T sum = onto ? sum_N[n] : T(0);
        for (int part = 0; part < parts; part++) sum += parts_PN[part * count + n];
        sum_N[n] = sum;
    }
};

}  // namespace
