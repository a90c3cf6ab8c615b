// What the kernels are written against: CUDA, or with ZOO_EMULATED a host that runs a block's threads in
// turn (tests/emulator), so that their logic is tested where there is no GPU.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../shape.h"

#ifdef ZOO_EMULATED
#include "emulator.h"
#else
#include <cuda_runtime.h>

namespace {

using Stream = cudaStream_t;

// All shared memory of a block, as one struct.
template <class S> __device__ __forceinline__ S& shared() {
    extern __shared__ __align__(16) unsigned char zoo_shared[];
    return *reinterpret_cast<S*>(zoo_shared);
}

template <class... Formal, class... Actual>
cudaError_t launch(void (*kernel)(Formal...), dim3 grid, int threads, size_t bytes, Stream stream, Actual... actual) {
    constexpr size_t kUnasked = 48 << 10;  // a kernel that wants more has to ask
    if (bytes > kUnasked) {
        const auto what = cudaFuncAttributeMaxDynamicSharedMemorySize;
        const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), what, int(bytes));
        if (error != cudaSuccess) return error;
    }
    kernel<<<grid, threads, bytes, stream>>>(Formal(actual)...);
    return cudaGetLastError();
}

}  // namespace
#endif

namespace {

using zoo::Shape;

// 16 bytes, which a thread reads at once.
template <class T> struct alignas(16) Quad {
    static constexpr int kCount = 16 / int(sizeof(T));
    T v[kCount];
};

// How many pieces of a size hold so many; one dimension of a grid.
inline unsigned pieces(int64_t count, int64_t size) { return unsigned((count + size - 1) / size); }

__device__ __forceinline__ int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The larger one, and NaN if one of them is: a NaN among the operands must not get lost.
__device__ __forceinline__ float larger_or_nan(float a, float b) {
#if defined(__CUDA_ARCH__)
    float r;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
#else
    return a > b || a != a ? a : b;
#endif
}

__device__ __forceinline__ double larger_or_nan(double a, double b) { return a > b || a != a ? a : b; }

__device__ __forceinline__ float size_of(float t) { return fabsf(t); }
__device__ __forceinline__ double size_of(double t) { return fabs(t); }

}  // namespace
