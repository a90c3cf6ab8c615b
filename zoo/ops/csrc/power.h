// Powers t^q, of ratios that are 1 at most where they count, and roots of their sums.
#pragma once

#include "simd.h"

#define ZOO_SERIES ZOO_INLINE
#include "series.h"

namespace {

// ------------------------------------------------------------------- logarithm and exponential, base 2

// t = 2^e * m with 0.75 <= m < 1.5, so that log2(m) loses no digits to e where t is near 1. t > 0, normal.
ZOO_INLINE V<float> split(V<float> t, V<float>& exponent) {
    const VI<float> above = (VI<float>)t - 0x3f400000;  // the bits of 0.75
    exponent = __builtin_convertvector(above >> 23, V<float>);
    return (V<float>)((VI<float>)t - (above & int32_t(0xff800000)));
}

ZOO_INLINE V<float> log2_near_1(V<float> m) { return log2_of_1_plus(m - 1.0f); }

// 2^v for v < 128, and 2^-126 below -126.
ZOO_INLINE V<float> exp2(V<float> v) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
    v = max(v, splat(-126.0f));
    const V<float> shifted = v + kRound;
    return (V<float>)((VI<float>)exp2_near_0(v - (shifted - kRound)) + ((VI<float>)shifted << 23));
}

// ------------------------------------------------------------------------ what an exponent is made of

// t^Q for a fixed whole Q; of either sign of t, as t^Q.
template <int Q> struct Product {
    template <class W> ZOO_INLINE W operator()(W t) const { return product<Q>(t); }
    double of_scalar(double t) const { return product<Q>(t); }
};

// |t|^q with the sign of t, and 0 for t = 0 even where q is 0: a gradient has no part there.
template <class T> struct Real;

template <> struct Real<float> {
    double q;
    ZOO_INLINE V<float> operator()(V<float> t) const {
        V<float> exponent;
        const V<float> m = split(abs<float>(t), exponent);
        const V<float> size = exp2(splat(float(q)) * (exponent + log2_near_1(m)));
        return t == 0 ? t : with_sign_of<float>(size, t);
    }
    double of_scalar(double t) const { return std::pow(t, q); }
};

template <> struct Real<double> {
    double q;
    ZOO_INLINE V<double> operator()(V<double> t) const {
        V<double> r;
        for (int lane = 0; lane < kLanes<double>; lane++) r[lane] = std::pow(std::fabs(t[lane]), q);
        return t == 0 ? t : with_sign_of<double>(r, t);
    }
    double of_scalar(double t) const { return std::pow(t, q); }
};

// sum^(1/p). The part of the exponent that p divides is taken apart, so that no digits are lost to it.
ZOO_INLINE V<float> root(V<float> sum, double p) {
    V<float> exponent;
    const V<float> m = split(sum, exponent);
    const V<float> inverse = splat(float(1 / p));
    constexpr float kRound = 12582912.0f;
    const V<float> whole = (exponent * inverse + kRound) - kRound;
    const V<float> rest = fma(whole, splat(float(-p)), exponent) + log2_near_1(m);
    const V<float> y = exp2(rest * inverse);
    return (V<float>)((VI<float>)y + (__builtin_convertvector(whole, VI<float>) << 23));
}

ZOO_INLINE V<double> root(V<double> sum, double p) {
    for (int lane = 0; lane < kLanes<double>; lane++) sum[lane] = std::pow(sum[lane], 1 / p);
    return sum;
}

// ---------------------------------------------------------------------------------- scales and quotients

// The power of two s for which 0.5 <= m * s < 1, and its inverse: scaling by them rounds nothing.
ZOO_INLINE V<float> scale_to_half(V<float> m, V<float>& inverse) {
    const VI<float> biased = ((VI<float>)m >> 23);
    inverse = (V<float>)((biased + 1) << 23);
    return (V<float>)((253 - biased) << 23);
}

ZOO_INLINE V<double> scale_to_half(V<double> m, V<double>& inverse) {
    const VI<double> biased = ((VI<double>)m >> 52);
    inverse = (V<double>)((biased + 1) << 52);
    return (V<double>)((2045 - biased) << 52);
}

// size / y, correctly rounded but for a few last bits in a million; exactly 1 where they are equal.
template <class T> ZOO_INLINE V<T> quotient(V<T> size, V<T> y, V<T> inverse_y) {
#if defined(__FMA__)
    const V<T> q = size * inverse_y;
    return fma(fma(-q, y, size), inverse_y, q);
#else
    return size / y;
#endif
}

}  // namespace
