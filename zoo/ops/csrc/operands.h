// Operands laid out as the kernels read them.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace {

using zoo::Edges;
using zoo::Parallel;
using zoo::Shape;

// Features that are looked at together: those in which a pair's largest difference may lie.
constexpr int64_t kChunk = 32;

ZOO_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
ZOO_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
ZOO_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <class F> void each_range(Parallel parallel, int64_t count, F f) {
    parallel(count, &f, [](void* context, int64_t begin, int64_t end) { (*static_cast<F*>(context))(begin, end); });
}

// A number that is known when the code is compiled, as an argument.
template <int N> struct Count {
    static constexpr int value = N;
};

// Uninitialised memory for vectors.
template <class T> class Buffer {
    T* data_;

  public:
    explicit Buffer(int64_t size) : data_(static_cast<T*>(aligned_alloc(64, round_up(size * sizeof(T) + 64, 64)))) {
        if (data_ != nullptr) return;
        fprintf(stderr, "zoo: no memory left for a kernel's %lld numbers\n", static_cast<long long>(size));
        abort();  // other threads are under way, and nothing can be thrown past them
    }
    ~Buffer() { free(data_); }
    Buffer(const Buffer&) = delete;
    T* get() const { return data_; }
};

// Rows that may be read in whole chunks: columns from num_i to the next chunk hold 0.
template <class T> class Rows {
    Buffer<T> buffer_;
    const T* data_;

  public:
    const int64_t width;

    Rows(const T* rows, int64_t count, int64_t num_i)
        : buffer_(num_i % kChunk ? count * round_up(num_i, kChunk) : 0), data_(rows), width(round_up(num_i, kChunk)) {
        if (width == num_i) return;
        for (int64_t row = 0; row < count; row++) {
            memcpy(buffer_.get() + row * width, rows + row * num_i, num_i * sizeof(T));
            memset(buffer_.get() + row * width + num_i, 0, (width - num_i) * sizeof(T));
        }
        data_ = buffer_.get();
    }
    const T* operator[](int64_t row) const { return data_ + row * width; }
};

// Rows transposed in groups of a vector, G groups side by side:
// lane l of [block][feature i][group k] is rows[(block * G + k) * lanes + l][i].
// Features are padded to whole chunks and rows to whole blocks, with 0; values are multiplied by `scale`.
template <class T, int G = 1> class Columns {
    static constexpr int N = kLanes<T>;
    Buffer<T> buffer_;

    static void fill(T* to, const T* from, int64_t rows, int64_t num_i, int64_t width, T scale) {
        int64_t i = 0;
        if (rows == N)
            for (; i + N <= num_i; i += N) {
                V<T> square[N];
                for (int lane = 0; lane < N; lane++) square[lane] = load(from + lane * num_i + i);
                transpose<T>(square);
                for (int lane = 0; lane < N; lane++) store<T>(to + (i + lane) * G * N, square[lane] * scale);
            }
        for (int64_t left = i; left < width; left++) store(to + left * G * N, V<T>{});
        for (; i < num_i; i++)
            for (int64_t lane = 0; lane < rows; lane++) to[i * G * N + lane] = from[lane * num_i + i] * scale;
    }

  public:
    const int64_t groups, width;

    Columns(const T* rows, int64_t count, int64_t num_i, Parallel parallel, T scale = 1)
        : buffer_(round_up(count, G * N) * round_up(num_i, kChunk)),
          groups(ceil_div(count, G * N) * G),
          width(round_up(num_i, kChunk)) {
        each_range(parallel, groups, [&](int64_t begin, int64_t end) {
            for (int64_t g = begin; g < end; g++) {
                const int64_t first = g * N, here = first < count ? smaller(N, count - first) : 0;
                T* to = buffer_.get() + (g / G * width * G + g % G) * N;
                fill(to, rows + (here ? first * num_i : 0), here, num_i, width, scale);
            }
        });
    }
    // Of the block that begins with this group.
    const T* operator[](int64_t group) const { return buffer_.get() + group * width * N; }
};

}  // namespace
