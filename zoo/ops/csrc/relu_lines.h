// Lines around max(z, 0) over l <= z <= u, entry by entry: the chord's slope, and the offsets of lines of
// given slopes. Many small steps to torch, each a pass over memory; here one pass, and one for gradients.
#pragma once

#include "operands.h"

namespace {

// f on vectors of the inputs, to vectors of the outputs; entries behind the last are 0.
template <class T, int Ins, int Outs, class F>
void each_entry(int64_t count, const T* const (&ins)[Ins], T* const (&outs)[Outs], Parallel parallel, F f) {
    constexpr int64_t N = kLanes<T>, kEntriesOfTask = 1 << 13;
    each_range(parallel, ceil_div(count, kEntriesOfTask), [&](int64_t begin, int64_t end) {
        const int64_t last = smaller(end * kEntriesOfTask, count);
        for (int64_t at = begin * kEntriesOfTask; at < last; at += N) {
            const int64_t here = smaller(N, last - at);
            V<T> from[Ins] = {}, to[Outs];
            for (int k = 0; k < Ins; k++)
                if (here == N) from[k] = load(ins[k] + at);
                else memcpy(&from[k], ins[k] + at, here * sizeof(T));
            f(from, to);
            for (int k = 0; k < Outs; k++) store_some<T>(outs[k] + at, to[k], here);
        }
    });
}

template <class T> ZOO_INLINE V<T> positive(V<T> v) { return max(v, V<T>{}); }

template <class T> void relu_chord(int64_t count, const T* lower, const T* upper, T* slope, T tiny, Parallel parallel) {
    each_entry<T, 2, 1>(count, {lower, upper}, {slope}, parallel, [&](const auto& in, auto& out) ZOO_LAMBDA {
        const V<T> above = positive<T>(in[1]);
        out[0] = above / max(above + positive<T>(-in[0]), splat(tiny));
    });
}

template <class T>
void relu_chord_backward(
    int64_t count, const T* grad, const T* lower, const T* upper, T* grad_lower, T* grad_upper, T tiny,
    Parallel parallel) {
    each_entry<T, 3, 2>(
        count, {grad, lower, upper}, {grad_lower, grad_upper}, parallel, [&](const auto& in, auto& out) ZOO_LAMBDA {
            const V<T> g = in[0], l = in[1], u = in[2], width = max(u - l, splat(tiny)), by = g / width;
            const VI<T> crossing = (l < V<T>{}) & (u > V<T>{});
            out[0] = crossing ? by * (u / width) : V<T>{};
            out[1] = crossing ? by * (-l / width) : V<T>{};
        });
}

template <class T>
void relu_offsets(
    int64_t count, const T* lower_slope, const T* upper_slope, const T* lower, const T* upper, T* lower_offset,
    T* upper_offset, Parallel parallel) {
    each_entry<T, 4, 2>(
        count, {lower_slope, upper_slope, lower, upper}, {lower_offset, upper_offset}, parallel,
        [&](const auto& in, auto& out) ZOO_LAMBDA {
            const V<T> l = in[2], u = in[3];
            const VI<T> crossing = (l < V<T>{}) & (u > V<T>{});
            const V<T> least = min(positive<T>(l) - in[0] * l, positive<T>(u) - in[0] * u);
            out[0] = crossing ? min(least, V<T>{}) : least;
            out[1] = max(positive<T>(l) - in[1] * l, positive<T>(u) - in[1] * u);
        });
}

// To the slope, and to the end at which the line touches; at the kink both are 0.
template <class T>
void relu_offsets_backward(
    int64_t count, const T* grad_lower_offset, const T* grad_upper_offset, const T* lower_slope, const T* upper_slope,
    const T* lower, const T* upper, T* grad_lower_slope, T* grad_upper_slope, T* grad_lower, T* grad_upper,
    Parallel parallel) {
    each_entry<T, 6, 4>(
        count, {grad_lower_offset, grad_upper_offset, lower_slope, upper_slope, lower, upper},
        {grad_lower_slope, grad_upper_slope, grad_lower, grad_upper}, parallel,
        [&](const auto& in, auto& out) ZOO_LAMBDA {
            const V<T> zero{}, one = splat<T>(1), l = in[4], u = in[5];
            const V<T> step_l = l > zero ? one : zero, step_u = u > zero ? one : zero;
            const V<T> low_l = positive<T>(l) - in[2] * l, low_u = positive<T>(u) - in[2] * u;
            const VI<T> kink = (l < zero) & (u > zero) & (min(low_l, low_u) > zero);
            const V<T> low = kink ? zero : in[0], high = in[1];
            const VI<T> low_at_l = low_l <= low_u;
            const VI<T> high_at_l = positive<T>(l) - in[3] * l >= positive<T>(u) - in[3] * u;
            out[0] = -low * (low_at_l ? l : u);
            out[1] = -high * (high_at_l ? l : u);
            out[2] = (low_at_l ? low * (step_l - in[2]) : zero) + (high_at_l ? high * (step_l - in[3]) : zero);
            out[3] = (low_at_l ? zero : low * (step_u - in[2])) + (high_at_l ? zero : high * (step_u - in[3]));
        });
}

}  // namespace
