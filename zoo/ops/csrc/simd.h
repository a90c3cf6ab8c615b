// Vectors as wide as the instruction set that a translation unit is compiled for.
//
// Everything here has internal linkage: the same names mean other code in each translation unit.
// For that reason kernels use no templates of the standard library either.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ZOO_INLINE inline __attribute__((always_inline))
#define ZOO_LAMBDA __attribute__((always_inline))

namespace {

// kRows x kColumns vectors of a tile stay in registers, with room for operands.
#if defined(__AVX512DQ__)
constexpr int kBytes = 64, kRows = 6, kColumns = 4;
#elif defined(__AVX2__)
constexpr int kBytes = 32, kRows = 4, kColumns = 2;
#else
constexpr int kBytes = 16, kRows = 4, kColumns = 2;
#endif

template <class T> struct VectorOf { typedef T type __attribute__((vector_size(kBytes))); };
template <class T> using V = typename VectorOf<T>::type;
template <class T> constexpr int kLanes = kBytes / sizeof(T);

template <class T> struct IntOf;
template <> struct IntOf<float> { using type = int32_t; };
template <> struct IntOf<double> { using type = int64_t; };
template <class T> using VI = V<typename IntOf<T>::type>;
template <class T> constexpr typename IntOf<T>::type kSignBit = typename IntOf<T>::type(1) << (8 * sizeof(T) - 1);

template <class T> ZOO_INLINE V<T> load(const T* at) {
    V<T> v;
    memcpy(&v, at, kBytes);
    return v;
}

template <class T> ZOO_INLINE void store(T* at, V<T> v) { memcpy(at, &v, kBytes); }

// The first `count` lanes.
template <class T> ZOO_INLINE void store_some(T* at, V<T> v, int64_t count) {
    if (count >= kLanes<T>) store(at, v);
    else memcpy(at, &v, count * sizeof(T));
}

template <class T> ZOO_INLINE V<T> splat(T a) {
    V<T> v;
    for (int lane = 0; lane < kLanes<T>; lane++) v[lane] = a;
    return v;
}

template <class T> ZOO_INLINE V<T> abs(V<T> v) { return (V<T>)((VI<T>)v & ~kSignBit<T>); }

template <class T> ZOO_INLINE V<T> with_sign_of(V<T> size, V<T> sign) {
    return (V<T>)((VI<T>)size | ((VI<T>)sign & kSignBit<T>));
}

// One bit for each lane in which a > b, a == b.
template <class T> ZOO_INLINE uint32_t greater(V<T> a, V<T> b);
template <class T> ZOO_INLINE uint32_t equal(V<T> a, V<T> b);

#if defined(__AVX512DQ__)

template <> ZOO_INLINE V<float> splat(float a) { return (V<float>)_mm512_set1_ps(a); }
template <> ZOO_INLINE V<double> splat(double a) { return (V<double>)_mm512_set1_pd(a); }
ZOO_INLINE V<float> max(V<float> a, V<float> b) { return (V<float>)_mm512_max_ps((__m512)a, (__m512)b); }
ZOO_INLINE V<double> max(V<double> a, V<double> b) { return (V<double>)_mm512_max_pd((__m512d)a, (__m512d)b); }
ZOO_INLINE V<float> min(V<float> a, V<float> b) { return (V<float>)_mm512_min_ps((__m512)a, (__m512)b); }
ZOO_INLINE V<double> min(V<double> a, V<double> b) { return (V<double>)_mm512_min_pd((__m512d)a, (__m512d)b); }
// Maximum of absolute values without sign, in one instruction: 11 asks for the larger size, sign cleared.
ZOO_INLINE V<float> abs_max(V<float> a, V<float> b) { return (V<float>)_mm512_range_ps((__m512)a, (__m512)b, 11); }
ZOO_INLINE V<double> abs_max(V<double> a, V<double> b) { return (V<double>)_mm512_range_pd((__m512d)a, (__m512d)b, 11); }
ZOO_INLINE V<float> fma(V<float> a, V<float> b, V<float> c) { return (V<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
ZOO_INLINE V<double> fma(V<double> a, V<double> b, V<double> c) { return (V<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
template <> ZOO_INLINE uint32_t greater<float>(V<float> a, V<float> b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
template <> ZOO_INLINE uint32_t greater<double>(V<double> a, V<double> b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ); }
template <> ZOO_INLINE uint32_t equal<float>(V<float> a, V<float> b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ); }
template <> ZOO_INLINE uint32_t equal<double>(V<double> a, V<double> b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ); }

// The lanes of v set in `lanes`, moved together: how many. Writes a whole vector.
ZOO_INLINE int compress(float* to, V<float> v, uint32_t lanes) {
    store<float>(to, (V<float>)_mm512_maskz_compress_ps(__mmask16(lanes), (__m512)v));
    return __builtin_popcount(lanes);
}
ZOO_INLINE int compress(double* to, V<double> v, uint32_t lanes) {
    store<double>(to, (V<double>)_mm512_maskz_compress_pd(__mmask8(lanes), (__m512d)v));
    return __builtin_popcount(lanes);
}

// The numbers of the lanes that are set, moved together. Writes a whole vector's worth.
template <class T> ZOO_INLINE void compress_lanes(int32_t* to, uint32_t lanes);
template <> ZOO_INLINE void compress_lanes<float>(int32_t* to, uint32_t lanes) {
    const __m512i number = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(__mmask16(lanes), number));
}
template <> ZOO_INLINE void compress_lanes<double>(int32_t* to, uint32_t lanes) {
    const __m256i number = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_maskz_compress_epi32(__mmask8(lanes), number));
}

#elif defined(__AVX2__)

ZOO_INLINE V<float> max(V<float> a, V<float> b) { return (V<float>)_mm256_max_ps((__m256)a, (__m256)b); }
ZOO_INLINE V<double> max(V<double> a, V<double> b) { return (V<double>)_mm256_max_pd((__m256d)a, (__m256d)b); }
ZOO_INLINE V<float> min(V<float> a, V<float> b) { return (V<float>)_mm256_min_ps((__m256)a, (__m256)b); }
ZOO_INLINE V<double> min(V<double> a, V<double> b) { return (V<double>)_mm256_min_pd((__m256d)a, (__m256d)b); }
ZOO_INLINE V<float> abs_max(V<float> a, V<float> b) { return max(a, abs<float>(b)); }
ZOO_INLINE V<double> abs_max(V<double> a, V<double> b) { return max(a, abs<double>(b)); }
ZOO_INLINE V<float> fma(V<float> a, V<float> b, V<float> c) { return (V<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
ZOO_INLINE V<double> fma(V<double> a, V<double> b, V<double> c) { return (V<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
template <> ZOO_INLINE uint32_t greater<float>(V<float> a, V<float> b) { return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ)); }
template <> ZOO_INLINE uint32_t greater<double>(V<double> a, V<double> b) { return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_GT_OQ)); }
template <> ZOO_INLINE uint32_t equal<float>(V<float> a, V<float> b) { return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_EQ_OQ)); }
template <> ZOO_INLINE uint32_t equal<double>(V<double> a, V<double> b) { return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_EQ_OQ)); }

#else

ZOO_INLINE V<float> max(V<float> a, V<float> b) { return a > b ? a : b; }
ZOO_INLINE V<double> max(V<double> a, V<double> b) { return a > b ? a : b; }
ZOO_INLINE V<float> min(V<float> a, V<float> b) { return a < b ? a : b; }
ZOO_INLINE V<double> min(V<double> a, V<double> b) { return a < b ? a : b; }
ZOO_INLINE V<float> abs_max(V<float> a, V<float> b) { return max(a, abs<float>(b)); }
ZOO_INLINE V<double> abs_max(V<double> a, V<double> b) { return max(a, abs<double>(b)); }
ZOO_INLINE V<float> fma(V<float> a, V<float> b, V<float> c) { return a * b + c; }
ZOO_INLINE V<double> fma(V<double> a, V<double> b, V<double> c) { return a * b + c; }
template <class T> ZOO_INLINE uint32_t bits(VI<T> truth) {
    uint32_t all = 0;
    for (int lane = 0; lane < kLanes<T>; lane++) all |= uint32_t(truth[lane] & 1) << lane;
    return all;
}
template <class T> ZOO_INLINE uint32_t greater(V<T> a, V<T> b) { return bits<T>(a > b); }
template <class T> ZOO_INLINE uint32_t equal(V<T> a, V<T> b) { return bits<T>(a == b); }

#endif

#if !defined(__AVX512DQ__)
template <class T> ZOO_INLINE void compress_lanes(int32_t* to, uint32_t lanes) {
    for (; lanes; lanes &= lanes - 1) *to++ = __builtin_ctz(lanes);
}
template <class T, class W> ZOO_INLINE int compress(T* to, W v, uint32_t lanes) {
    int count = 0;
    for (; lanes; lanes &= lanes - 1) to[count++] = v[__builtin_ctz(lanes)];
    return count;
}
#endif

// Largest size of any value.
template <class T> T largest(const T* values, int64_t count) {
    V<T> most{};
    int64_t i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>) most = abs_max(most, load(values + i));
    T all = 0;
    for (int lane = 0; lane < kLanes<T>; lane++) all = most[lane] > all ? T(most[lane]) : all;
    for (; i < count; i++) all = std::fabs(values[i]) > all ? std::fabs(values[i]) : all;
    return all;
}

// Lane l of row r becomes lane r of row l. Blocks off the diagonal change places, ever smaller ones.
template <class T> ZOO_INLINE void transpose(V<T> (&rows)[kLanes<T>]) {
    constexpr int N = kLanes<T>;
#pragma GCC unroll 4
    for (int half = N / 2; half > 0; half /= 2) {
        VI<T> upper, lower;
        for (int lane = 0; lane < N; lane++) {
            upper[lane] = lane & half ? N + lane - half : lane;
            lower[lane] = lane & half ? N + lane : lane + half;
        }
#pragma GCC unroll 16
        for (int r = 0; r < N; r++) {
            if (r & half) continue;
            const V<T> a = rows[r], b = rows[r + half];
            rows[r] = __builtin_shuffle(a, b, upper);
            rows[r + half] = __builtin_shuffle(a, b, lower);
        }
    }
}

// Products that underflow become 0 instead of costing a hundred cycles each. Never used at p = inf.
class FlushToZero {
#if defined(__x86_64__)
    unsigned before_ = _mm_getcsr();

  public:
    FlushToZero() { _mm_setcsr(before_ | _MM_FLUSH_ZERO_ON); }
    ~FlushToZero() { _mm_setcsr(before_); }
#else
  public:
    FlushToZero() {}
    ~FlushToZero() {}
#endif
};

}  // namespace
