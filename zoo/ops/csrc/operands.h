// Operands laid out as the kernels read them.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace {

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

// Uninitialised memory for vectors.
template <class T> class Buffer {
    T* data_;

  public:
    explicit Buffer(int64_t size) : data_(static_cast<T*>(aligned_alloc(64, round_up(size * sizeof(T) + 64, 64)))) {
        if (data_ == nullptr) abort();  // as the allocator of the system promises memory until it kills
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

// Weight rows transposed in groups of a vector: lane l of [group g][feature i] is w[g * lanes + l][i].
// Features are padded to whole chunks and rows to whole groups, with 0.
template <class T> class Columns {
    Buffer<T> buffer_;

  public:
    const int64_t groups, width;

    Columns(const T* w, int64_t num_o, int64_t num_i, Parallel parallel)
        : buffer_(round_up(num_o, kLanes<T>) * round_up(num_i, kChunk)),
          groups(ceil_div(num_o, kLanes<T>)),
          width(round_up(num_i, kChunk)) {
        each_range(parallel, groups, [&](int64_t begin, int64_t end) {
            for (int64_t g = begin; g < end; g++) {
                T* to = buffer_.get() + g * width * kLanes<T>;
                int64_t rows = smaller(kLanes<T>, num_o - g * kLanes<T>);
                if (rows < kLanes<T> || width > num_i) memset(to, 0, width * kLanes<T> * sizeof(T));
                const T* from = w + g * kLanes<T> * num_i;
                // Blocks of a few features keep both sides in cache.
                for (int64_t i0 = 0; i0 < num_i; i0 += 16)
                    for (int64_t lane = 0; lane < rows; lane++)
                        for (int64_t i = i0; i < smaller(i0 + 16, num_i); i++)
                            to[i * kLanes<T> + lane] = from[lane * num_i + i];
            }
        });
    }
    const T* operator[](int64_t group) const { return buffer_.get() + group * width * kLanes<T>; }
};

}  // namespace
