// Order statistics: y_bo = sum_k v_k * a_(k), a sorted |x - w| of a pair from the largest down.
//
// The K largest are kept by insertion, in all lanes at once. Products and sums round in the order of
// k, each by itself, so that the bits are those of any other implementation that does the same.
#pragma once

#include "tiles.h"

namespace {

// The K largest of a vector of pairs, top[k] from the largest down, and where they were first seen.
template <class T> struct TopK {
    int num_k;
    V<T>* top;
    VI<T>* at;  // null: not wanted

    void clear() {
        for (int k = 0; k < num_k; k++) top[k] = splat<T>(-1);
        if (at)
            for (int k = 0; k < num_k; k++) at[k] = VI<T>{};
    }

    // Behind equals, so that ties keep the order of the features.
    ZOO_INLINE void insert(V<T> size, int64_t i) {
        if (!greater<T>(size, top[num_k - 1])) return;
        if (!at) {
            // From the smallest up: no step waits for another.
            for (int k = num_k - 1; k > 0; k--) top[k] = max(top[k], min(top[k - 1], size));
            top[0] = max(top[0], size);
            return;
        }
        VI<T> from = VI<T>{} + typename IntOf<T>::type(i), before{};
        for (int k = 0; k < num_k; k++) {
            const V<T> here = top[k];
            const VI<T> here_at = at[k];
            before |= size > here;  // what is pushed down goes before its equals, which came later
            top[k] = before ? size : here;
            at[k] = before ? from : here_at;
            size = before ? here : size;
            from = before ? here_at : from;
        }
    }
};

// visit(b, o, largest) for each vector of pairs.
template <class T, class F>
void each_largest(Shape shape, const T* x, const T* w, int num_k, bool where, Parallel parallel, F visit) {
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    each_range(parallel, columns.groups * shape.b, [&](int64_t begin, int64_t end) {
        const Buffer<T> top(num_k * kLanes<T>), at(num_k * kLanes<T>);
        TopK<T> largest{num_k, reinterpret_cast<V<T>*>(top.get()), where ? reinterpret_cast<VI<T>*>(at.get()) : nullptr};
        for (int64_t task = begin; task < end; task++) {
            const int64_t g = task / shape.b, b = task % shape.b;
            const T *x_b = x + b * shape.i, *w_g = columns[g];
            largest.clear();
            for (int64_t i = 0; i < shape.i; i++)
                largest.insert(abs<T>(splat(x_b[i]) - load(w_g + i * kLanes<T>)), i);
            visit(b, g * kLanes<T>, largest);
        }
    });
}

// Points and ends of boxes round in the same places: their sums are these.
template <class T> ZOO_INLINE V<T> ordered_sum(const TopK<T>& largest, const T* v) {
    V<T> sum = largest.top[0] * v[0];
    for (int k = 1; k < largest.num_k; k++) sum += largest.top[k] * v[k];
    return sum;
}

template <class T>
void sorted(Shape shape, const T* x, const T* w, const T* v, int num_k, T* y, Parallel parallel) {
    each_largest<T>(shape, x, w, num_k, false, parallel, [&](int64_t b, int64_t o, const TopK<T>& largest) {
        store_some<T>(y + b * shape.o + o, ordered_sum(largest, v), shape.o - o);
    });
}

// Ends of the range over a box: order statistics of each coordinate's smallest and largest difference.
template <class T>
void sorted_bounds(
    Shape shape, const T* lower, const T* upper, const T* w, const T* v, int num_k, T* lower_out, T* upper_out,
    Parallel parallel) {
    const Columns<T> columns(w, shape.o, shape.i, parallel);
    each_range(parallel, columns.groups * shape.b, [&](int64_t begin, int64_t end) {
        const Buffer<T> near_top(num_k * kLanes<T>), far_top(num_k * kLanes<T>);
        TopK<T> near{num_k, reinterpret_cast<V<T>*>(near_top.get()), nullptr};
        TopK<T> far{num_k, reinterpret_cast<V<T>*>(far_top.get()), nullptr};
        for (int64_t task = begin; task < end; task++) {
            const int64_t g = task / shape.b, b = task % shape.b;
            const T *lower_b = lower + b * shape.i, *upper_b = upper + b * shape.i, *w_g = columns[g];
            near.clear();
            far.clear();
            for (int64_t i = 0; i < shape.i; i++) {
                const V<T> w_i = load(w_g + i * kLanes<T>);
                const V<T> below = splat(lower_b[i]) - w_i, above = splat(upper_b[i]) - w_i;
                near.insert(max(max(below, -above), V<T>{}), i);
                far.insert(max(above, -below), i);
            }
            const int64_t o = g * kLanes<T>, at = b * shape.o + o;
            store_some<T>(lower_out + at, ordered_sum(near, v), shape.o - o);
            store_some<T>(upper_out + at, ordered_sum(far, v), shape.o - o);
        }
    });
}

// Features of the K largest, [b][o][k].
template <class T>
void sorted_at(Shape shape, const T* x, const T* w, int num_k, int32_t* at, Parallel parallel) {
    each_largest<T>(shape, x, w, num_k, true, parallel, [&](int64_t b, int64_t o, const TopK<T>& largest) {
        const int64_t count = smaller(kLanes<T>, shape.o - o);
        for (int64_t lane = 0; lane < count; lane++)
            for (int k = 0; k < num_k; k++)
                at[(b * shape.o + o + lane) * num_k + k] = int32_t(largest.at[k][lane]);
    });
}

}  // namespace
