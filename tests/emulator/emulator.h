// A GPU for kernels of zoo/ops/csrc/cuda, on a host: the threads of a block run in turn, each on a stack of its own,
// from one barrier to the next. What they share is poisoned before each block, operands end at a page that must not be
// read, and a barrier that not all threads meet is an error. It says nothing about races between threads that run at
// once, but for the order in which they are resumed: results must not depend on it.
#pragma once

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

using std::copysign, std::fabs, std::fma, std::pow;

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)


struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulator {

inline dim3 thread, block, grid;
inline int order = 0;  // in which threads are resumed: 0 forwards, 1 backwards
inline void* shared_memory = nullptr;
inline size_t shared_bytes = 0;

struct Fiber {
    ucontext_t start;
    jmp_buf place;  // where it waits; jumps cost no system calls, as switching contexts does
    std::unique_ptr<char[]> stack;
    bool begun = false, done = false;
};

inline jmp_buf scheduler;
inline std::vector<Fiber>* fibers = nullptr;
inline int current = 0;
inline const std::function<void()>* body = nullptr;

inline void run_fiber() {
    (*body)();
    (*fibers)[current].done = true;
    _longjmp(scheduler, 1);
}

// Runs a thread to its next barrier, or to its end.
inline void resume(Fiber& fiber) {
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.start);
}

inline void run_block(int threads) {
    constexpr size_t kStack = 128 << 10;
    std::memset(shared_memory, 0xff, shared_bytes);  // NaN, and indices that are none
    for (Fiber& fiber : *fibers) {
        fiber.begun = fiber.done = false;
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.get();
        fiber.start.uc_stack.ss_size = kStack;
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, run_fiber, 0);
    }
    for (int left = threads; left > 0;) {
        int ended = 0;
        for (int k = 0; k < threads; k++) {
            current = order ? threads - 1 - k : k;
            thread = dim3(unsigned(current), 0, 0);
            resume((*fibers)[current]);
            ended += (*fibers)[current].done;
        }
        if (ended != 0 && ended != threads) {
            const char* said = "emulator: %d of %d threads met a barrier that the others did not\n";
            std::fprintf(stderr, said, threads - ended, threads);
            std::abort();
        }
        left -= ended;
    }
}

}  // namespace emulator

#define threadIdx emulator::thread
#define blockIdx emulator::block
#define gridDim emulator::grid

inline int32_t __float_as_int(float t) { int32_t bits; std::memcpy(&bits, &t, 4); return bits; }
inline float __int_as_float(int32_t bits) { float t; std::memcpy(&t, &bits, 4); return t; }
inline long long __double_as_longlong(double t) { long long bits; std::memcpy(&bits, &t, 8); return bits; }
inline double __longlong_as_double(long long bits) { double t; std::memcpy(&t, &bits, 8); return t; }

inline void __syncthreads() {
    emulator::Fiber& fiber = (*emulator::fibers)[emulator::current];
    if (!_setjmp(fiber.place)) _longjmp(emulator::scheduler, 1);
}

namespace {

using Stream = int;

template <class S> S& shared() {
    if (sizeof(S) > emulator::shared_bytes) std::abort();  // more than the launch asked for
    return *static_cast<S*>(emulator::shared_memory);
}

template <class... Formal, class... Actual>
int launch(void (*kernel)(Formal...), dim3 grid, int threads, size_t bytes, Stream, Actual... actual) {
    constexpr size_t kStack = 128 << 10, kMostShared = 227 << 10;
    if (bytes > kMostShared || grid.y > 65535 || grid.z > 65535) return 1;
    std::vector<emulator::Fiber> fibers(threads);
    for (auto& fiber : fibers) fiber.stack.reset(new char[kStack]);
    std::vector<double> memory(bytes / sizeof(double) + 2);
    const std::function<void()> body = [&] { kernel(Formal(actual)...); };
    emulator::fibers = &fibers, emulator::body = &body, emulator::grid = grid;
    emulator::shared_memory = memory.data() + (reinterpret_cast<uintptr_t>(memory.data()) % 16 ? 1 : 0);
    emulator::shared_bytes = bytes;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                emulator::block = dim3(x, y, z);
                emulator::run_block(threads);
            }
    return 0;
}

}  // namespace
