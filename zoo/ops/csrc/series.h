// Powers as both the CPU's vectors and a GPU's numbers take them. W is either; fma(W, W, W) is known before this file.
#pragma once

#ifndef ZOO_SERIES
#define ZOO_SERIES inline
#endif

namespace {

constexpr int smallest_factor(int n) {
    for (int f = 2; f * f <= n; f++)
        if (n % f == 0) return f;
    return n;
}

// t^N in few products: 15 = 3 * 5 takes five. Of vectors and of numbers.
template <int N, class W> ZOO_SERIES W product(W t) {
    constexpr int f = smallest_factor(N);
    if constexpr (N == 1) return t;
    else if constexpr (N == 2) return t * t;
    else if constexpr (f == N) return product<N - 1>(t) * t;
    else return product<N / f>(product<f>(t));
}

template <class W> ZOO_SERIES W constant(float q) { return W{} + q; }

// log2(1 + z) for -0.25 <= z < 0.5: z * Q(z), a minimax fit of relative error 2^-25.
template <class W> ZOO_SERIES W log2_of_1_plus(W z) {
    constexpr float q[] = {1.442695032f,  -0.7213484784f, 0.4809020806f, -0.3605759221f, 0.2881915012f,
                           -0.2427235091f, 0.2163248902f, -0.174230332f, 0.07806682358f};
    const W z2 = z * z, z4 = z2 * z2;
    // In pairs (Estrin), so that fewer products wait for each other.
    const W a = fma(constant<W>(q[1]), z, constant<W>(q[0])), b = fma(constant<W>(q[3]), z, constant<W>(q[2]));
    const W c = fma(constant<W>(q[5]), z, constant<W>(q[4])), d = fma(constant<W>(q[7]), z, constant<W>(q[6]));
    const W high = fma(constant<W>(q[8]), z4, fma(d, z2, c));
    return fma(high, z4, fma(b, z2, a)) * z;
}

// 2^f for -0.5 <= f <= 0.5: a minimax fit of relative error 2^-29.
template <class W> ZOO_SERIES W exp2_near_0(W f) {
    constexpr float q[] = {1.0f,           0.6931472057f,  0.2402264689f,  0.05550328777f,
                           0.009618489003f, 0.001339993132f, 0.0001534580191f};
    const W f2 = f * f;
    const W a = fma(constant<W>(q[1]), f, constant<W>(q[0])), b = fma(constant<W>(q[3]), f, constant<W>(q[2]));
    const W c = fma(constant<W>(q[5]), f, constant<W>(q[4]));
    return fma(fma(fma(constant<W>(q[6]), f2, c), f2, b), f2, a);
}

}  // namespace
