// Powers of ratios that are 1 at most where they count, and roots of their sums.
#pragma once

#include "device.cuh"

#define ZOO_SERIES __device__ __forceinline__
#include "../series.h"

namespace {

__device__ __forceinline__ int32_t bits_of(float t) { return __float_as_int(t); }
__device__ __forceinline__ float of_bits(int32_t bits) { return __int_as_float(bits); }

// t^Q for a fixed whole Q; of either sign of t, as t^Q.
template <int Q> struct Product {
    template <class T> __device__ __forceinline__ T operator()(T t) const { return product<Q>(t); }
    __device__ double of_scalar(double t) const { return product<Q>(t); }
};

// |t|^q with the sign of t, and 0 for t = 0 even where q is 0: a gradient has no part there. Not for |t| below 2^-126.
struct Real {
    double q;

    __device__ __forceinline__ float operator()(float t) const {
        // |t| = 2^e * m with 0.75 <= m < 1.5, so that log2(m) loses no digits to e where |t| is near 1.
        const int32_t size = bits_of(t) & 0x7fffffff, above = size - 0x3f400000;
        const float m = of_bits(size - (above & int32_t(0xff800000)));
        const float exponent = float(above >> 23) + log2_of_1_plus(m - 1.0f);
        constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
        float v = float(q) * exponent;
        v = v < -126.0f ? -126.0f : v;
        const float shifted = v + kRound, fraction = v - (shifted - kRound);
        const float power = of_bits(bits_of(exp2_near_0(fraction)) + int32_t(uint32_t(bits_of(shifted)) << 23));
        return t == 0 || t != t ? t : copysignf(power, t);
    }
    __device__ __forceinline__ double operator()(double t) const {
        return t == 0 ? t : copysign(pow(fabs(t), q), t);
    }
    __device__ double of_scalar(double t) const { return pow(t, q); }
};

// The power of two s for which 0.5 <= m * s < 1: scaling by it rounds nothing. m is a normal number below 2^126.
__device__ __forceinline__ float scale_to_half(float m) { return of_bits((253 - (bits_of(m) >> 23)) << 23); }
__device__ __forceinline__ double scale_to_half(double m) {
    return __longlong_as_double((2045 - (__double_as_longlong(m) >> 52)) << 52);
}

// Pairs at a smaller distance count as equal: below, no power of two or inverse is a normal number.
template <class T> struct Limits;
template <> struct Limits<float> {
    static constexpr float kSmallest = 1e-37f;
    static constexpr int kMantissa = 24;
};
template <> struct Limits<double> {
    static constexpr double kSmallest = 1e-300;
    static constexpr int kMantissa = 53;
};

}  // namespace
