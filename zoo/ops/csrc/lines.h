// Linear forms through lines around each entry of a value: a coefficient c > 0 takes the entry's lower
// line, any other its upper one. One pass over the coefficients instead of one for each product.
#pragma once

#include "operands.h"

namespace {

using zoo::Lines;
using zoo::LineShape;

// The lines of one row, and what a coefficient takes of them.
template <class T> struct LinesOfRow {
    const T *lower_slope, *lower_offset, *upper_slope, *upper_offset;

    LinesOfRow(const LineShape& shape, const Lines<const T>& lines, int64_t b, int64_t s) {
        const int64_t at = (b * shape.t + (shape.t == 1 ? 0 : s)) * shape.d;
        lower_slope = lines.lower_slope + at, lower_offset = lines.lower_offset + at;
        upper_slope = lines.upper_slope + at, upper_offset = lines.upper_offset + at;
    }
    ZOO_INLINE V<T> slope(VI<T> above, int64_t d) const { return above ? load(lower_slope + d) : load(upper_slope + d); }
    ZOO_INLINE V<T> offset(VI<T> above, int64_t d) const { return above ? load(lower_offset + d) : load(upper_offset + d); }
    ZOO_INLINE T slope(bool above, int64_t d) const { return above ? lower_slope[d] : upper_slope[d]; }
    ZOO_INLINE T offset(bool above, int64_t d) const { return above ? lower_offset[d] : upper_offset[d]; }
};

// pulled = c * slope, constant = the sum of c * offset over a row.
template <class T>
void pull_lines(LineShape shape, const T* rows, Lines<const T> lines, T* pulled, T* constant, Parallel parallel) {
    constexpr int N = kLanes<T>;
    each_range(parallel, shape.b * shape.s, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const LinesOfRow<T> own(shape, lines, row / shape.s, row % shape.s);
            const T* c = rows + row * shape.d;
            T* to = pulled + row * shape.d;
            V<T> sums{};
            int64_t d = 0;
            for (; d + N <= shape.d; d += N) {
                const V<T> v = load(c + d);
                const VI<T> above = v > V<T>{};
                store<T>(to + d, v * own.slope(above, d));
                sums += v * own.offset(above, d);
            }
            T sum = 0;
            for (int lane = 0; lane < N; lane++) sum += sums[lane];
            for (; d < shape.d; d++) {
                const bool above = c[d] > 0;
                to[d] = c[d] * own.slope(above, d);
                sum += c[d] * own.offset(above, d);
            }
            constant[row] = sum;
        }
    });
}

constexpr int64_t kEntriesOfTask = 512;  // whose sums over rows stay in the first-level cache

// Gradients of both by coefficients and lines; those of lines that rows share are sums over rows.
template <class T>
void pull_lines_backward(
    LineShape shape, const T* grad_pulled, const T* grad_constant, const T* rows, Lines<const T> lines, T* grad_rows,
    Lines<T> grad_lines, Parallel parallel) {
    constexpr int N = kLanes<T>;
    const int64_t tasks = ceil_div(shape.d, kEntriesOfTask);
    each_range(parallel, shape.b * tasks, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; task++) {
            const int64_t b = task / tasks, first = task % tasks * kEntriesOfTask;
            const int64_t last = smaller(first + kEntriesOfTask, shape.d);
            for (int64_t s = 0; s < shape.s; s++) {
                const LinesOfRow<T> own(shape, lines, b, s);
                const int64_t row = b * shape.s + s, at = (b * shape.t + (shape.t == 1 ? 0 : s)) * shape.d;
                const bool adds = shape.t == 1 && s > 0;
                const T *c = rows + row * shape.d, *g = grad_pulled + row * shape.d, h = grad_constant[row];
                T* to = grad_rows + row * shape.d;
                T *to_ls = grad_lines.lower_slope + at, *to_lo = grad_lines.lower_offset + at;
                T *to_us = grad_lines.upper_slope + at, *to_uo = grad_lines.upper_offset + at;
                const auto sum = [&](T* to, V<T> v) ZOO_LAMBDA { store<T>(to, adds ? load(to) + v : v); };
                int64_t d = first;
                for (; d + N <= last; d += N) {
                    const V<T> v = load(c + d), grad = load(g + d), by_slope = grad * v, by_offset = v * h;
                    const VI<T> above = v > V<T>{};
                    store<T>(to + d, grad * own.slope(above, d) + own.offset(above, d) * h);
                    sum(to_ls + d, above ? by_slope : V<T>{}), sum(to_us + d, above ? V<T>{} : by_slope);
                    sum(to_lo + d, above ? by_offset : V<T>{}), sum(to_uo + d, above ? V<T>{} : by_offset);
                }
                for (; d < last; d++) {
                    const bool above = c[d] > 0;
                    to[d] = g[d] * own.slope(above, d) + own.offset(above, d) * h;
                    const T by_slope = g[d] * c[d], by_offset = c[d] * h;
                    to_ls[d] = (adds ? to_ls[d] : 0) + (above ? by_slope : 0);
                    to_us[d] = (adds ? to_us[d] : 0) + (above ? 0 : by_slope);
                    to_lo[d] = (adds ? to_lo[d] : 0) + (above ? by_offset : 0);
                    to_uo[d] = (adds ? to_uo[d] : 0) + (above ? 0 : by_offset);
                }
            }
        }
    });
}

}  // namespace
