// The ops of kernels.h on a GPU: which kernels, in how many parts, with what memory.
//
// A context says where to run, how many processors there are, and gives memory that lives as long as it does.
#pragma once

#include "edges.cuh"
#include "lp_slopes.cuh"
#include "sort.cuh"

namespace {

template <class T> constexpr int kWide = sizeof(T) == 4 ? 8 : 4;  // pairs of a thread along one side of its tile
constexpr int kGroupsOfMaxima = 264;

// Stops at the first launch that fails.
#define ZOO_TRY(call) \
    if (const auto failed = call; failed) return int(failed)

template <class T, class Context> int run_linf(Shape shape, const T* x, const T* w, T* y, Context& context) {
    constexpr int R = kWide<T>;
    const Cut parts = cut(shape, R * kSide, R * kSide, context.processors, 4 * kStep, shape.i);
    const int64_t pairs = shape.b * shape.o;
    T* y_PBO = parts.parts == 1 ? y : context.template memory<T>(pairs * parts.parts);
    ZOO_TRY((walk_all<R, R>(Walk<T, Largest<T>>{shape, {x}, w, parts, {y_PBO, shape}}, context.stream)));
    if (parts.parts == 1) return 0;
    return int(join_parts(y_PBO, pairs, parts.parts, JoinLargest<T>{y}, context.stream));
}

template <class T, class Context>
int run_linf_argmax(Shape shape, const T* x, const T* w, T* y, int32_t* at, Context& context) {
    constexpr int R = kWide<T>, C = R / 2;
    const Cut parts = cut(shape, R * kSide, C * kSide, context.processors, 4 * kStep, shape.i);
    const int64_t pairs = shape.b * shape.o;
    auto* found = context.template memory<Found<T>>(pairs * parts.parts);
    const LargestAt<T> op{found, shape, x, w, parts};
    ZOO_TRY((walk_all<R, C>(Walk<T, LargestAt<T>>{shape, {x}, w, parts, op}, context.stream)));
    return int(join_parts(found, pairs, parts.parts, JoinFound<T>{y, at}, context.stream));
}

template <class T, class Context>
int run_linf_bounds(Shape shape, const T* lower, const T* upper, const T* w, T* near, T* far, Context& context) {
    constexpr int R = kWide<T> / 2;
    const Cut parts = cut(shape, R * kSide, R * kSide, context.processors, 4 * kStep, shape.i);
    const int64_t pairs = shape.b * shape.o;
    auto* ends = context.template memory<Ends<T>>(pairs * parts.parts);
    ZOO_TRY((walk_all<R, R>(Walk<T, EndsOfBox<T>>{shape, {lower, upper}, w, parts, {ends, shape}}, context.stream)));
    return int(join_parts(ends, pairs, parts.parts, JoinEnds<T>{near, far}, context.stream));
}

template <class T, class Context>
int run_linf_backward(
    Shape shape, const T* grad, const T* x, const T* w, const int32_t* at, T* grad_x, T* grad_w, Context& context) {
    const Scatter<T> all{grad, x, w, at, shape};
    const dim3 of_x(unsigned(shape.b), pieces(shape.i, kRow)), of_w(unsigned(shape.o), pieces(shape.i, kRow));
    constexpr size_t kBytes = sizeof(RowOfGradient<T>);
    ZOO_TRY(launch(scatter_rows<T, true>, of_x, kThreads, kBytes, context.stream, all, grad_x));
    return int(launch(scatter_rows<T, false>, of_w, kThreads, kBytes, context.stream, all, grad_w));
}

// -------------------------------------------------------------------------------------- order statistics

constexpr int kMostPlaces = 64;

// f(Count<M>) for a number of registers that holds K.
template <int M> using Count = std::integral_constant<int, M>;

template <class F> int with_room(int num_k, F f) {
    if (num_k <= 4) return f(Count<4>{});
    if (num_k <= 10) return f(Count<10>{});
    if (num_k <= 32) return f(Count<32>{});
    return f(Count<kMostPlaces>{});
}

template <class T, class Context>
int run_sorted(Shape shape, const T* x, const T* w, const T* v, int num_k, T* y, Context& context) {
    return with_room(num_k, [&](auto room) {
        using Op = Sorted<T, decltype(room)::value>;
        return int(walk_all<1, 1>(Walk<T, Op>{shape, {x}, w, uncut(shape), Op{v, num_k, y, shape}}, context.stream));
    });
}

template <class T, class Context>
int run_sorted_at(Shape shape, const T* x, const T* w, int num_k, int32_t* at, Context& context) {
    return with_room(num_k, [&](auto room) {
        using Op = SortedAt<T, decltype(room)::value>;
        return int(walk_all<1, 1>(Walk<T, Op>{shape, {x}, w, uncut(shape), Op{num_k, at, shape}}, context.stream));
    });
}

template <class T, class Context>
int run_sorted_bounds(
    Shape shape, const T* lower, const T* upper, const T* w, const T* v, int num_k, T* near, T* far, Context& context) {
    return with_room(num_k, [&](auto room) {
        using Op = SortedEnds<T, decltype(room)::value>;
        const Op op{v, num_k, near, far, shape};
        return int(walk_all<1, 1>(Walk<T, Op>{shape, {lower, upper}, w, uncut(shape), op}, context.stream));
    });
}

// -------------------------------------------------------------------------------------------------- edges

template <class T, class Context>
T* transposed(const T* x, int64_t rows, int64_t columns, Context& context, int& error) {
    T* t = context.template memory<T>(rows * columns);
    const dim3 grid(pieces(rows, kTurn), pieces(columns, kTurn));
    constexpr size_t kBytes = kTurn * (kTurn + 1) * sizeof(T);
    error = int(launch(transpose<T>, grid, kThreads, kBytes, context.stream, x, rows, columns, t));
    return t;
}

template <class T, class Op, class Context>
int walk_all_edges(Shape shape, zoo::Edges<T> edges, Op op, Context& context) {
    const dim3 grid(pieces(shape.b, kTurn), pieces(shape.o, kThreads / kTurn));
    return int(launch(walk_edges<T, Op>, grid, kThreads, 0, context.stream, Edges<T>{edges, shape}, op));
}

template <class T, class Context> int run_edges(Shape shape, const T* x, zoo::Edges<T> edges, T* y, Context& context) {
    int error = 0;
    const T* x_IB = transposed(x, shape.b, shape.i, context, error);
    ZOO_TRY(error);
    return walk_all_edges(shape, edges, LargestEdge<T>{x_IB, y}, context);
}

template <class T, class Context>
int run_edges_argmax(Shape shape, const T* x, zoo::Edges<T> edges, T* y, int32_t* edge, Context& context) {
    int error = 0;
    const T* x_IB = transposed(x, shape.b, shape.i, context, error);
    ZOO_TRY(error);
    return walk_all_edges(shape, edges, LargestEdgeAt<T>{x_IB, y, edge}, context);
}

template <class T, class Context>
int run_edges_bounds(
    Shape shape, const T* lower, const T* upper, zoo::Edges<T> edges, T* near, T* far, Context& context) {
    int error = 0;
    const T* lower_IB = transposed(lower, shape.b, shape.i, context, error);
    ZOO_TRY(error);
    const T* upper_IB = transposed(upper, shape.b, shape.i, context, error);
    ZOO_TRY(error);
    return walk_all_edges(shape, edges, EndsOfEdges<T>{lower_IB, upper_IB, near, far}, context);
}

// ---------------------------------------------------------------------------------------------- finite p

// From here on few terms count, and powers are taken of these alone.
constexpr double kFewFrom = 48;

template <class T, class Context> T* largest_sizes(const T* values, int64_t count, Context& context, int& error) {
    T* most_G = context.template memory<T>(kGroupsOfMaxima);
    constexpr size_t kBytes = kThreads * sizeof(T);
    const dim3 grid(kGroupsOfMaxima);
    error = int(launch(largest_of<T>, grid, kThreads, kBytes, context.stream, values, count, most_G));
    return most_G;
}

template <int P, class Context>
int lp_in_one_pass(Shape shape, const float* x, const float* w, float* y, Context& context) {
    int error = 0;
    const float* x_G = largest_sizes(x, shape.b * shape.i, context, error);
    ZOO_TRY(error);
    const float* w_G = largest_sizes(w, shape.o * shape.i, context, error);
    ZOO_TRY(error);
    float* scale = context.template memory<float>(1);
    ZOO_TRY(launch_each_pair(1, CommonScale{x_G, w_G, kGroupsOfMaxima, scale}, context.stream));
    const Cut parts = cut(shape, 8 * kSide, 4 * kSide, context.processors, 4 * kStep, kSumSpan);
    const int64_t pairs = shape.b * shape.o;
    float* sum_PBO = context.template memory<float>(pairs * parts.parts);
    using Op = SumOfProducts<P>;
    ZOO_TRY((walk_all<8, 4>(Walk<float, Op>{shape, {x}, w, parts, Op{sum_PBO, scale, shape}}, context.stream)));
    return int(launch_each_pair(pairs, RootOfProducts<P>{sum_PBO, x, w, scale, y, shape, parts.parts}, context.stream));
}

// make(sum_PBO, most_BO) is the op of the second pass.
template <bool kScaled, class T, class Make, class Context>
int lp_in_two_passes(Shape shape, const T* x, const T* w, double p, T* y, Make make, Context& context) {
    constexpr int R = kWide<T>, C = R / 2;
    const int64_t pairs = shape.b * shape.o;
    T* most = context.template memory<T>(pairs);
    ZOO_TRY(run_linf(shape, x, w, most, context));
    const Cut parts = cut(shape, R * kSide, C * kSide, context.processors, 4 * kStep, kSumSpan);
    T* sum_PBO = context.template memory<T>(pairs * parts.parts);
    const auto op = make(sum_PBO, most);
    using Op = std::decay_t<decltype(op)>;
    ZOO_TRY((walk_all<R, C>(Walk<T, Op>{shape, {x}, w, parts, op}, context.stream)));
    const RootOfRatios<T, kScaled> root{sum_PBO, most, y, p, pairs, parts.parts};
    return int(launch_each_pair(pairs, root, context.stream));
}

template <class T, class Context> int run_lp(Shape shape, const T* x, const T* w, double p, T* y, Context& context) {
    if constexpr (sizeof(T) == 4) {
        if (p == 8) return lp_in_one_pass<8>(shape, x, w, y, context);
        if (p == 12) return lp_in_one_pass<12>(shape, x, w, y, context);
        if (p == 16) return lp_in_one_pass<16>(shape, x, w, y, context);
    }
    if (p >= kFewFrom) {
        const auto few = [&](T* sum, const T* most) {
            return SumOfFew<T>{sum, most, shape, Real{p}, share_that_counts<T>(p, shape.i)};
        };
        return lp_in_two_passes<false>(shape, x, w, p, y, few, context);
    }
    const auto scaled = [&](auto power) {
        using Op = SumOfScaled<T, decltype(power)>;
        const auto make = [&](T* sum, const T* most) { return Op{sum, most, shape, power}; };
        return lp_in_two_passes<true>(shape, x, w, p, y, make, context);
    };
    if constexpr (sizeof(T) == 4) {
        if (p == 24) return scaled(Product<24>{});
        if (p == 32) return scaled(Product<32>{});
    }
    return scaled(Real{p});
}

template <class T, class Slopes, class Context>
int gradients_by(
    Shape shape, const T* grad, const T* x, const T* w, const T* y, T* grad_x, T* grad_w, Slopes slopes,
    Context& context) {
    constexpr int kRowParts = 4;  // of the weights' gradient, which are as large as it is
    const int64_t blocks = int64_t(pieces(shape.i, kFeatures)) * pieces(shape.b, kRowsOfBlock<T>);
    const int64_t wanted = (4 * context.processors + blocks - 1) / blocks;
    int64_t outputs = (shape.o + wanted - 1) / wanted;
    outputs = int64_t(pieces(outputs, kOutputs<T>)) * kOutputs<T>;
    const int parts = int(pieces(shape.o, outputs));
    T* grad_x_PBI = context.template memory<T>(parts * shape.b * shape.i);
    T* grad_w_POI = context.template memory<T>(kRowParts * shape.o * shape.i);
    for (int64_t b = 0; b < shape.b; b += kRowParts * kRowsOfBlock<T>) {
        const int64_t left = pieces(shape.b - b, kRowsOfBlock<T>);
        const int rows = int(left < kRowParts ? left : kRowParts);
        const Gradients<T, Slopes> all{shape, grad, x, w, y, outputs, b, grad_x_PBI, grad_w_POI, slopes};
        const dim3 grid(pieces(shape.i, kFeatures), unsigned(parts), unsigned(rows));
        ZOO_TRY(launch(gradients<T, Slopes>, grid, kThreads, sizeof(SlopesShared<T, Slopes>), context.stream, all));
        ZOO_TRY(launch_each_pair(
            shape.o * shape.i, JoinSums<T>{grad_w_POI, grad_w, shape.o * shape.i, rows, b > 0}, context.stream));
    }
    return int(launch_each_pair(
        shape.b * shape.i, JoinSums<T>{grad_x_PBI, grad_x, shape.b * shape.i, parts, false}, context.stream));
}

template <class T, class Context>
int run_lp_backward(
    Shape shape, const T* grad, const T* x, const T* w, const T* y, double p, T* grad_x, T* grad_w, Context& context) {
    const auto all = [&](auto power) {
        using Slopes = AllSlopes<T, decltype(power)>;
        return gradients_by(shape, grad, x, w, y, grad_x, grad_w, Slopes{power}, context);
    };
    if (p >= kFewFrom) {
        int error = 0;
        const T* largest = largest_sizes(grad, shape.b * shape.o, context, error);
        ZOO_TRY(error);
        const FewSlopes<T> few{Real{p - 1}, largest, kGroupsOfMaxima};
        return gradients_by(shape, grad, x, w, y, grad_x, grad_w, few, context);
    }
    if constexpr (sizeof(T) == 4) {
        if (p == 8) return all(Product<7>{});
        if (p == 12) return all(Product<11>{});
        if (p == 16) return all(Product<15>{});
        if (p == 24) return all(Product<23>{});
        if (p == 32) return all(Product<31>{});
    }
    return all(Real{p - 1});
}

// All of them, by the names of kernels.h.
struct CudaKernels {
#define ZOO_KERNEL(name, run) \
    template <class... Arguments> int name(Arguments&&... arguments) const { return run(arguments...); }
    ZOO_KERNEL(linf, run_linf)
    ZOO_KERNEL(linf_argmax, run_linf_argmax)
    ZOO_KERNEL(linf_backward, run_linf_backward)
    ZOO_KERNEL(linf_bounds, run_linf_bounds)
    ZOO_KERNEL(lp, run_lp)
    ZOO_KERNEL(lp_backward, run_lp_backward)
    ZOO_KERNEL(sorted, run_sorted)
    ZOO_KERNEL(sorted_at, run_sorted_at)
    ZOO_KERNEL(sorted_bounds, run_sorted_bounds)
    ZOO_KERNEL(linf_edges, run_edges)
    ZOO_KERNEL(linf_edges_argmax, run_edges_argmax)
    ZOO_KERNEL(linf_edges_bounds, run_edges_bounds)
#undef ZOO_KERNEL
};

}  // namespace
