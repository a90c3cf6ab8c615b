// Pairs (b, o), each a walk along the features: tiles of pairs stay in registers while slices of x and w
// go by in shared memory. What a pair keeps and how it steps is the op's.
//
// An op has
//   kOperands              how many tensors (B, I) it reads: 1, or 2 for a box
//   begin()                once a thread
//   State                  what a pair keeps; clear(state, place), step(state, x, w, real): not real are features
//                          beyond the end, where x and w are 0
//   end_run(state, run)    after every kStep features
//   write(place, state)    at the end; place says which pair, and which part of the features
#pragma once

#include "device.cuh"

namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;  // threads of a block
constexpr int kStep = 16;                            // features of a slice

// Features are cut into parts of `span`, a multiple of kStep, one for each z of the grid.
struct Cut {
    int64_t span;
    int parts;
};

struct Place {
    int64_t b, o;
    int part;
};

template <class T, class Op> struct Walk {
    Shape shape;
    const T* x[Op::kOperands];
    const T* w;
    Cut cut;
    Op op;
};

// The slice of ROWS rows that a block holds: [feature][row].
template <class T, int ROWS> struct Slice {
    static constexpr int kPitch = ROWS + Quad<T>::kCount;  // keeps rows of it 16 bytes apart
    T value[kStep][kPitch];
};

// A thread's share of the loading of one slice: quads of features of some rows.
template <class T, int ROWS, bool kAligned> struct Loader {
    static constexpr int kQuad = Quad<T>::kCount, kLanes = kStep / kQuad, kRowsAtOnce = kThreads / kLanes;
    static constexpr int kCount = (ROWS + kRowsAtOnce - 1) / kRowsAtOnce;
    Quad<T> quad[kCount];

    // Rows beyond the last are the last one again, and never written; features beyond the end are 0.
    __device__ __forceinline__ void fetch(
        const T* from, int64_t row0, int64_t rows, int64_t width, int64_t i0, int64_t end) {
        const int lane = threadIdx.x % kLanes, row = threadIdx.x / kLanes;
        const int64_t i = i0 + lane * kQuad;
#pragma unroll
        for (int k = 0; k < kCount; k++) {
            const int64_t at = smaller(row0 + row + k * kRowsAtOnce, rows - 1);
            const T* source = from + at * width + i;
            if (kAligned && i + kQuad <= end) {
                quad[k] = *reinterpret_cast<const Quad<T>*>(source);
            } else {
#pragma unroll
                for (int q = 0; q < kQuad; q++) quad[k].v[q] = i + q < end ? source[q] : T(0);
            }
        }
    }

    __device__ __forceinline__ void put(Slice<T, ROWS>& slice) const {
        const int lane = threadIdx.x % kLanes, row = threadIdx.x / kLanes;
#pragma unroll
        for (int k = 0; k < kCount; k++)
#pragma unroll
            for (int q = 0; q < kQuad; q++)
                if (ROWS % kRowsAtOnce == 0 || row + k * kRowsAtOnce < ROWS)
                    slice.value[lane * kQuad + q][row + k * kRowsAtOnce] = quad[k].v[q];
    }
};

// Which of a tile's rows a thread has: quads, kSide of them side by side, so that a warp reads what lies together; or
// one.
template <class T, int N> __device__ __forceinline__ int row_of(int side, int r) {
    constexpr int kQuad = N == 1 ? 1 : Quad<T>::kCount;
    return (r / kQuad) * (kSide * kQuad) + side * kQuad + r % kQuad;
}

template <class T, int ROWS, int N>
__device__ __forceinline__ void read(T (&to)[N], const Slice<T, ROWS>& slice, int feature, int side) {
    constexpr int kQuad = Quad<T>::kCount;
    if constexpr (N == 1) {
        to[0] = slice.value[feature][side];
        return;
    }
#pragma unroll
    for (int n = 0; n + kQuad <= N; n += kQuad) {
        const auto quad = *reinterpret_cast<const Quad<T>*>(&slice.value[feature][row_of<T, N>(side, n)]);
#pragma unroll
        for (int q = 0; q < kQuad; q++) to[n + q] = quad.v[q];
    }
}

template <class T, class Op, int R, int C> struct Slices {
    Slice<T, R * kSide> x[2][Op::kOperands];
    Slice<T, C * kSide> w[2];
};

// R x C pairs a thread, both 1 or a multiple of a quad.
template <class T, class Op, int R, int C, bool kAligned>
__global__ void __launch_bounds__(kThreads, 2) walk_pairs(Walk<T, Op> walk) {
    using Buffers = Slices<T, Op, R, C>;
    Buffers& slices = shared<Buffers>();
    const Shape shape = walk.shape;
    const int64_t b0 = int64_t(blockIdx.y) * (R * kSide), o0 = int64_t(blockIdx.x) * (C * kSide);
    const int64_t begin = blockIdx.z * walk.cut.span, end = smaller(begin + walk.cut.span, shape.i);
    const int side_b = threadIdx.x / kSide, side_o = threadIdx.x % kSide;

    Op op = walk.op;
    op.begin();
    typename Op::State state[R][C];
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            op.clear(
                state[r][c], Place{smaller(b0 + row_of<T, R>(side_b, r), shape.b - 1),
                                   smaller(o0 + row_of<T, C>(side_o, c), shape.o - 1), int(blockIdx.z)});

    Loader<T, R * kSide, kAligned> x_loader[Op::kOperands];
    Loader<T, C * kSide, kAligned> w_loader;
    const auto fetch = [&](int64_t i) {
#pragma unroll
        for (int k = 0; k < Op::kOperands; k++) x_loader[k].fetch(walk.x[k], b0, shape.b, shape.i, i, end);
        w_loader.fetch(walk.w, o0, shape.o, shape.i, i, end);
    };
    const auto put = [&](int buffer) {
#pragma unroll
        for (int k = 0; k < Op::kOperands; k++) x_loader[k].put(slices.x[buffer][k]);
        w_loader.put(slices.w[buffer]);
    };
    fetch(begin);
    put(0);
    __syncthreads();
    int buffer = 0;
    for (int64_t i = begin; i < end; i += kStep, buffer ^= 1) {
        const bool more = i + kStep < end;
        if (more) fetch(i + kStep);  // on their way while this slice is worked on
#pragma unroll
        for (int k = 0; k < kStep; k++) {
            T x[Op::kOperands][R], w[C];
#pragma unroll
            for (int n = 0; n < Op::kOperands; n++) read(x[n], slices.x[buffer][n], k, side_b);
            read(w, slices.w[buffer], k, side_o);
#pragma unroll
            for (int r = 0; r < R; r++)
#pragma unroll
                for (int c = 0; c < C; c++) {
                    T x_r[Op::kOperands];
#pragma unroll
                    for (int n = 0; n < Op::kOperands; n++) x_r[n] = x[n][r];
                    op.step(state[r][c], x_r, w[c], i + k < end);
                }
        }
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
            for (int c = 0; c < C; c++) op.end_run(state[r][c], i);
        if (more) put(buffer ^ 1);  // which all have left behind at the last barrier
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++) {
            const Place place{b0 + row_of<T, R>(side_b, r), o0 + row_of<T, C>(side_o, c), int(blockIdx.z)};
            if (place.b < shape.b && place.o < shape.o) op.write(place, state[r][c]);
        }
}

// In so many parts that every processor has two blocks, where there are features enough for it.
inline Cut cut(Shape shape, int tile_b, int tile_o, int processors, int64_t least, int64_t most) {
    const int64_t blocks = int64_t(pieces(shape.b, tile_b)) * pieces(shape.o, tile_o);
    const int64_t wanted = (2 * processors + blocks - 1) / blocks;
    int64_t span = (shape.i + wanted - 1) / wanted;
    span = span < least ? least : span > most ? most : span;
    span = (span + kStep - 1) / kStep * kStep;
    return {span, int((shape.i + span - 1) / span)};
}

inline Cut uncut(Shape shape) { return {shape.i, 1}; }

template <int R, int C, class T, class Op> auto walk_all(const Walk<T, Op>& walk, Stream stream) {
    constexpr size_t kBytes = sizeof(Slices<T, Op, R, C>);
    const dim3 grid(pieces(walk.shape.o, C * kSide), pieces(walk.shape.b, R * kSide), unsigned(walk.cut.parts));
    // Rows of 16-byte quads, if all rows are.
    bool aligned = walk.shape.i % Quad<T>::kCount == 0 && reinterpret_cast<uintptr_t>(walk.w) % 16 == 0;
    for (const T* x : walk.x) aligned = aligned && reinterpret_cast<uintptr_t>(x) % 16 == 0;
    const auto kernel = aligned ? walk_pairs<T, Op, R, C, true> : walk_pairs<T, Op, R, C, false>;
    return launch(kernel, grid, kThreads, kBytes, stream, walk);
}

}  // namespace
