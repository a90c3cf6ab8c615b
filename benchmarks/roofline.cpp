// What the CPU can do at most of the arithmetic of each op: the instructions of one (b, o, i) triple,
// a vector of them at a time, on operands that stay in registers.
//
// No loop loads or stores (but for coefficients of the real power that find no register: folded into
// their instruction, they take no vector port). Independent totals fill the ports. `opaque` costs
// nothing and keeps the compiler from knowing that an operand is the same as in the step before.
#include <ctime>

#include "lp.h"

// A function of its own, to be found in the disassembly.
#define ROOF_LOOP __attribute__((noinline))

namespace {

enum Kind : int32_t { kDistance, kBounds, kForward, kBackward };
enum Mix : int32_t { kMaxima, kEnds, kProducts, kReal };

struct Result {
    double pairs_per_second, hertz, cpu_share;
    int32_t lanes, instructions, mix;
};

// Of one vector; 0 where the compiler chooses them. The real power's as g++ 12 compiles it, without
// moves between registers, which take no port.
#if defined(__AVX512DQ__)
constexpr int kAbsMax = 1, kRealForward = 36, kRealBackward = 37;
#elif defined(__AVX2__)
constexpr int kAbsMax = 2, kRealForward = 39, kRealBackward = 40;
#else
constexpr int kAbsMax = 0, kRealForward = 0, kRealBackward = 0;
#endif

ZOO_INLINE void opaque(V<float>& v) {
#if defined(__x86_64__)
    asm volatile("" : "+v"(v));
#else
    asm volatile("" : "+w"(v));
#endif
}

// step(r, c, x_r) for a tile, `steps` times.
template <int R, int C, class Step> ZOO_INLINE void repeat(int64_t steps, Step step) {
    V<float> x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) x[r] = splat(1 - float(r) / 64);
    for (int64_t s = 0; s < steps; s++) {
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            opaque(x[r]);
#pragma GCC unroll 8
            for (int c = 0; c < C; c++) step(r, c, x[r]);
        }
    }
}

// Vectors that the compiler takes for different ones, near `value`; and as if they were used.
template <int N> ZOO_INLINE void fill(V<float> (&v)[N], float value) {
#pragma GCC unroll 32
    for (int k = 0; k < N; k++) v[k] = splat(value + float(k) / 64), opaque(v[k]);
}
template <int N> ZOO_INLINE void keep(V<float> (&v)[N]) {
#pragma GCC unroll 32
    for (int k = 0; k < N; k++) opaque(v[k]);
}

// Totals, operands and what a step needs in between fit into 32 registers, or into 16.
constexpr bool kMany = kBytes == 64;
constexpr int kProductRows = kMany ? 4 : 2, kProductColumns = 2;

// Each runs `steps` steps, and has `vectors` pairs of a vector in a step.

struct Ends {
    static constexpr int R = kMany ? 2 : 1, C = 2, vectors = R * C;
    ROOF_LOOP void operator()(int64_t steps) const {
        V<float> w[C], high[R], low_max[R * C], low_min[R * C], high_max[R * C], high_min[R * C];
        fill(w, 0), fill(high, 1);
        fill(low_max, 0), fill(low_min, 0), fill(high_max, 0), fill(high_min, 0);
        repeat<R, C>(steps, [&](int r, int c, V<float> low) ZOO_LAMBDA {
            if (c == 0) opaque(high[r]);
            const int k = r * C + c;
            low_max[k] = max(low_max[k], low - w[c]);
            low_min[k] = min(low_min[k], low - w[c]);
            high_max[k] = max(high_max[k], high[r] - w[c]);
            high_min[k] = min(high_min[k], high[r] - w[c]);
        });
        keep(low_max), keep(low_min), keep(high_max), keep(high_min);
    }
};

template <class Add, int R, int C> struct Forward {
    static constexpr int vectors = R * C;
    Add add;
    ROOF_LOOP void operator()(int64_t steps) const {
        V<float> w[C], sum[R * C];
        fill(w, 0), fill(sum, 0);
        repeat<R, C>(steps, [&](int r, int c, V<float> x) ZOO_LAMBDA {
            sum[r * C + c] = add(sum[r * C + c], x - w[c]);
        });
        keep(sum);
    }
};

template <class Power, int R, int C> struct Backward {
    static constexpr int vectors = R * C;
    Power power;
    ROOF_LOOP void operator()(int64_t steps) const {
        V<float> w[C], scale[1], grad[1], grad_x[R], grad_w[C];
        fill(w, 0), fill(scale, 1), fill(grad, 1), fill(grad_x, 0), fill(grad_w, 1);
        repeat<R, C>(steps, [&](int r, int c, V<float> x) ZOO_LAMBDA {
            const V<float> slope = power((x - w[c]) * scale[0]);
            grad_x[r] = fma(grad[0], slope, grad_x[r]);
            grad_w[c] = fma(grad[0], slope, grad_w[c]);
        });
        keep(grad_x), keep(grad_w);
    }
};

// ------------------------------------------------------------------------------------------ measuring

double now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

// Dependent additions, one a cycle. Of two registers: some CPUs add constants without executing.
double hertz() {
    constexpr int64_t kAdds = 64, kTimes = 8192;
    int64_t sum = 0, term = 1;
    const double start = now(CLOCK_THREAD_CPUTIME_ID);
    for (int64_t k = 0; k < kTimes; k++) {
#if defined(__x86_64__)
        asm volatile(".rept 64\n\tadd %1, %0\n\t.endr" : "+r"(sum) : "r"(term) : "cc");
#elif defined(__aarch64__)
        asm volatile(".rept 64\n\tadd %0, %0, %1\n\t.endr" : "+r"(sum) : "r"(term));
#else
        return 0;
#endif
    }
    return double(kAdds * kTimes) / (now(CLOCK_THREAD_CPUTIME_ID) - start);
}

// In time that this thread had a core: other programs on it do not lower the roof. The clock is read
// right after, at the frequency that the vectors have brought about.
template <class Body> Result measure(double seconds, int instructions, Mix mix, Body body) {
    const double wall = now(CLOCK_MONOTONIC), start = now(CLOCK_THREAD_CPUTIME_ID);
    double steps = 0, taken = 0;
    for (; taken < seconds; taken = now(CLOCK_THREAD_CPUTIME_ID) - start) body(16384), steps += 16384;
    Result result{};
    result.pairs_per_second = steps * Body::vectors * kLanes<float> / taken;
    result.cpu_share = taken / (now(CLOCK_MONOTONIC) - wall);
    result.hertz = hertz();
    result.lanes = kLanes<float>;
    result.instructions = instructions;
    result.mix = mix;
    return result;
}

// Multiplications of product<N>, by having it multiply these.
struct Counted {
    int* count;
    Counted operator*(Counted) const { return ++*count, *this; }
};
template <int N> int products() {
    int count = 0;
    product<N>(Counted{&count});
    return count;
}

Result maxima(double seconds) {
    const auto add = [](V<float> most, V<float> d) ZOO_LAMBDA { return abs_max(most, d); };
    return measure(
        seconds, kAbsMax ? 1 + kAbsMax : 0, kMaxima, Forward<decltype(add), kMany ? 4 : 3, kMany ? 4 : 2>{add});
}

template <int P> Result products_of(Kind kind, double seconds) {
    if (kind == kForward) {
        const auto add = [](V<float> sum, V<float> d) ZOO_LAMBDA {
            const V<float> half = product<P / 2>(d);
            return fma(half, half, sum);
        };
        return measure(
            seconds, kAbsMax ? 2 + products<P / 2>() : 0, kProducts,
            Forward<decltype(add), kProductRows, kProductColumns>{add});
    }
    return measure(
        seconds, kAbsMax ? 4 + products<P - 1>() : 0, kProducts,
        Backward<Product<P - 1>, kProductRows, kProductColumns>{});
}

// Its coefficients fill the registers: one vector at a time. Steps do not wait for each other.
Result real(Kind kind, double p, double seconds) {
    if (kind == kForward) {
        const Real<float> power{p};
        const auto add = [power](V<float> sum, V<float> d) ZOO_LAMBDA { return sum + abs<float>(power(d)); };
        return measure(seconds, kRealForward, kReal, Forward<decltype(add), 1, 1>{add});
    }
    return measure(seconds, kRealBackward, kReal, Backward<Real<float>, 1, 1>{Real<float>{p - 1}});
}

}  // namespace

// The arithmetic that the kernels need of every triple at this exponent, on the calling thread. From
// kSparseFrom on that is the search for the maxima: powers are taken of few.
extern "C" __attribute__((visibility("default"))) void roofline(
    int32_t kind, double p, double seconds, Result* result) {
    if (kind == kDistance) *result = maxima(seconds);
    else if (kind == kBounds) *result = measure(seconds, kAbsMax ? 6 : 0, kEnds, Ends{});
    else
        with_exponent<float>(p, [&](auto exponent) {
            constexpr int P = decltype(exponent)::value;
            if constexpr (P > 0) *result = products_of<P>(Kind(kind), seconds);
            else if (p < kSparseFrom) *result = real(Kind(kind), p, seconds);
            else *result = maxima(seconds);
        });
}
