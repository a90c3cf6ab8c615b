// The ops on distances: from torch's tensors to a device's kernels and back.
//
// A Device says
//   check(op, tensors...), check_winners(op, at_BO, shape), check_edges(op, index_E, start, shape):
//       which operands nobody may be given, an error;
//   takes(tensors...), takes_at_finite_p(tensors...), takes_gradient(grad), takes_places(num_k):
//       which its kernels compute; the reference has the others;
//   run(op, like, shape, f): calls f(kernels, where, T()) for like's type, if there is a pair. Its kernels have the
//       names and parameters of kernels.h, `where` comes last.
#pragma once

#include "checks.h"

namespace {

template <class T> zoo::Edges<T> edges_of(const Tensor& value_E, const Tensor& index_E, const Tensor& start) {
    return {in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start), value_E.numel()};
}

template <class Device>
Shape checked_edges(const char* op, Tensor& x_BI, Tensor& value_E, Tensor& index_E, Tensor& start) {
    const Shape shape = shape_of_edges(op, x_BI, value_E, index_E, start);
    Device::check_edges(op, index_E, start, shape);
    return shape;
}

template <class Device> struct Distances {
    static Tensor linf_dist(Tensor x_BI, Tensor w_OI) {
        const char* op = "linf_dist";
        const Shape shape = checked(op, x_BI, w_OI);
        Device::check(op, x_BI, w_OI);
        if (!Device::takes(x_BI, w_OI)) return first(reference(op, x_BI, w_OI));
        const Tensor y_BO = new_BO(x_BI, shape);
        Device::run(op, x_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.linf(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), where);
        });
        return y_BO;
    }

    static std::tuple<Tensor, Tensor> linf_dist_argmax(Tensor x_BI, Tensor w_OI) {
        const char* op = "linf_dist_argmax";
        const Shape shape = checked(op, x_BI, w_OI);
        Device::check(op, x_BI, w_OI);
        if (!Device::takes(x_BI, w_OI)) return both(reference(op, x_BI, w_OI));
        const Tensor y_BO = new_BO(x_BI, shape);
        const Tensor at_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
        Device::run(op, x_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.linf_argmax(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), out<int32_t>(at_BO), where);
        });
        return {y_BO, at_BO};
    }

    static std::tuple<Tensor, Tensor> linf_dist_backward(Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor at_BO) {
        const char* op = "linf_dist_backward";
        const Shape shape = checked(op, x_BI, w_OI);
        check(op, grad_BO, x_BI.scalar_type(), shape.b, shape.o);
        check(op, at_BO, ScalarType::Int, shape.b, shape.o);
        Device::check(op, grad_BO, x_BI, w_OI, at_BO);
        Device::check_winners(op, at_BO, shape);
        if (!Device::takes(grad_BO, x_BI, w_OI)) return both(reference(op, grad_BO, x_BI, w_OI, at_BO));
        const auto [grad_x_BI, grad_w_OI] = new_gradients(x_BI, w_OI, shape);
        Device::run(op, x_BI, shape, [&, x_out = grad_x_BI, w_out = grad_w_OI](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.linf_backward(
                shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<int32_t>(at_BO), out<T>(x_out), out<T>(w_out),
                where);
        });
        return {grad_x_BI, grad_w_OI};
    }

    static std::tuple<Tensor, Tensor> linf_dist_bounds(Tensor lower_BI, Tensor upper_BI, Tensor w_OI) {
        const char* op = "linf_dist_bounds";
        const Shape shape = checked(op, lower_BI, w_OI);
        check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
        Device::check(op, lower_BI, upper_BI, w_OI);
        if (!Device::takes(lower_BI, upper_BI, w_OI)) return both(reference(op, lower_BI, upper_BI, w_OI));
        const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
        Device::run(op, lower_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.linf_bounds(
                shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(w_OI), out<T>(lower_BO), out<T>(upper_BO), where);
        });
        return {lower_BO, upper_BO};
    }

    static Tensor lp_dist(Tensor x_BI, Tensor w_OI, double p) {
        const char* op = "lp_dist";
        const Shape shape = checked(op, x_BI, w_OI);
        Device::check(op, x_BI, w_OI);
        if (!Device::takes_at_finite_p(x_BI, w_OI)) return first(reference(op, x_BI, w_OI, p));
        const Tensor y_BO = new_BO(x_BI, shape);
        Device::run(op, x_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.lp(shape, in<T>(x_BI), in<T>(w_OI), p, out<T>(y_BO), where);
        });
        return y_BO;
    }

    // One evaluation of the powers serves both gradients: leaving one out would save little.
    static std::tuple<Tensor, Tensor> lp_dist_backward(
        Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor y_BO, double p, bool of_x, bool of_w) {
        const char* op = "lp_dist_backward";
        const Shape shape = checked(op, x_BI, w_OI);
        check(op, grad_BO, x_BI.scalar_type(), shape.b, shape.o);
        check(op, y_BO, x_BI.scalar_type(), shape.b, shape.o);
        Device::check(op, grad_BO, x_BI, w_OI, y_BO);
        if (!Device::takes_at_finite_p(x_BI, w_OI, y_BO) || !Device::takes_gradient(grad_BO))
            return both(reference(op, grad_BO, x_BI, w_OI, y_BO, p, of_x, of_w));
        const auto [grad_x_BI, grad_w_OI] = new_gradients(x_BI, w_OI, shape);
        Device::run(op, x_BI, shape, [&, x_out = grad_x_BI, w_out = grad_w_OI](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.lp_backward(
                shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<T>(y_BO), p, out<T>(x_out), out<T>(w_out), where);
        });
        return {grad_x_BI, grad_w_OI};
    }

    static Tensor sort_dist(Tensor x_BI, Tensor w_OI, Tensor v_K) {
        const char* op = "sort_dist";
        const Shape shape = checked(op, x_BI, w_OI);
        Device::check(op, x_BI, w_OI, v_K);
        check_order(op, v_K, x_BI, shape);
        if (!Device::takes(x_BI, w_OI, v_K) || !Device::takes_places(v_K.numel()))
            return first(reference(op, x_BI, w_OI, v_K));
        const Tensor y_BO = new_BO(x_BI, shape);
        Device::run(op, x_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.sorted(shape, in<T>(x_BI), in<T>(w_OI), in<T>(v_K), int(v_K.numel()), out<T>(y_BO), where);
        });
        return y_BO;
    }

    static std::tuple<Tensor, Tensor> order_dist_bounds(Tensor lower_BI, Tensor upper_BI, Tensor w_OI, Tensor v_K) {
        const char* op = "order_dist_bounds";
        const Shape shape = checked(op, lower_BI, w_OI);
        check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
        Device::check(op, lower_BI, upper_BI, w_OI, v_K);
        check_order(op, v_K, lower_BI, shape);
        if (!Device::takes(lower_BI, upper_BI, w_OI, v_K) || !Device::takes_places(v_K.numel()))
            return both(reference(op, lower_BI, upper_BI, w_OI, v_K));
        const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
        Device::run(op, lower_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.sorted_bounds(
                shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(w_OI), in<T>(v_K), int(v_K.numel()), out<T>(lower_BO),
                out<T>(upper_BO), where);
        });
        return {lower_BO, upper_BO};
    }

    static Tensor sort_dist_at(Tensor x_BI, Tensor w_OI, int64_t num_k) {
        const char* op = "sort_dist_at";
        const Shape shape = checked(op, x_BI, w_OI);
        Device::check(op, x_BI, w_OI);
        check_order(op, num_k, shape);
        if (!Device::takes(x_BI, w_OI) || !Device::takes_places(num_k)) return first(reference(op, x_BI, w_OI, num_k));
        const Tensor at_BOK = torch::stable::new_empty(x_BI, {shape.b, shape.o, num_k}, ScalarType::Int);
        Device::run(op, x_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.sorted_at(shape, in<T>(x_BI), in<T>(w_OI), int(num_k), out<int32_t>(at_BOK), where);
        });
        return at_BOK;
    }

    static Tensor linf_dist_sparse(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
        const char* op = "linf_dist_sparse";
        const Shape shape = checked_edges<Device>(op, x_BI, value_E, index_E, start);
        Device::check(op, x_BI, value_E, index_E, start);
        if (!Device::takes(x_BI, value_E)) return first(reference(op, x_BI, value_E, index_E, start));
        const Tensor y_BO = new_BO(x_BI, shape);
        Device::run(op, x_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.linf_edges(
                shape, in<T>(x_BI), edges_of<T>(value_E, index_E, start), out<T>(y_BO), where);
        });
        return y_BO;
    }

    static std::tuple<Tensor, Tensor> linf_dist_sparse_argmax(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
        const char* op = "linf_dist_sparse_argmax";
        const Shape shape = checked_edges<Device>(op, x_BI, value_E, index_E, start);
        Device::check(op, x_BI, value_E, index_E, start);
        if (!Device::takes(x_BI, value_E)) return both(reference(op, x_BI, value_E, index_E, start));
        const Tensor y_BO = new_BO(x_BI, shape);
        const Tensor edge_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
        Device::run(op, x_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.linf_edges_argmax(
                shape, in<T>(x_BI), edges_of<T>(value_E, index_E, start), out<T>(y_BO),
                out<int32_t>(edge_BO), where);
        });
        return {y_BO, edge_BO};
    }

    static std::tuple<Tensor, Tensor> linf_dist_sparse_bounds(
        Tensor lower_BI, Tensor upper_BI, Tensor value_E, Tensor index_E, Tensor start) {
        const char* op = "linf_dist_sparse_bounds";
        const Shape shape = checked_edges<Device>(op, lower_BI, value_E, index_E, start);
        check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
        Device::check(op, lower_BI, upper_BI, value_E, index_E, start);
        if (!Device::takes(lower_BI, upper_BI, value_E))
            return both(reference(op, lower_BI, upper_BI, value_E, index_E, start));
        const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
        Device::run(op, lower_BI, shape, [&](const auto& kernels, auto& where, auto t) {
            using T = decltype(t);
            return kernels.linf_edges_bounds(
                shape, in<T>(lower_BI), in<T>(upper_BI), edges_of<T>(value_E, index_E, start),
                out<T>(lower_BO), out<T>(upper_BO), where);
        });
        return {lower_BO, upper_BO};
    }
};

// Registers them.
#define ZOO_IMPLEMENT_DISTANCES(m, Device) \
    m.impl("linf_dist", TORCH_BOX(&Distances<Device>::linf_dist)); \
    m.impl("linf_dist_argmax", TORCH_BOX(&Distances<Device>::linf_dist_argmax)); \
    m.impl("linf_dist_backward", TORCH_BOX(&Distances<Device>::linf_dist_backward)); \
    m.impl("linf_dist_bounds", TORCH_BOX(&Distances<Device>::linf_dist_bounds)); \
    m.impl("lp_dist", TORCH_BOX(&Distances<Device>::lp_dist)); \
    m.impl("lp_dist_backward", TORCH_BOX(&Distances<Device>::lp_dist_backward)); \
    m.impl("sort_dist", TORCH_BOX(&Distances<Device>::sort_dist)); \
    m.impl("sort_dist_at", TORCH_BOX(&Distances<Device>::sort_dist_at)); \
    m.impl("order_dist_bounds", TORCH_BOX(&Distances<Device>::order_dist_bounds)); \
    m.impl("linf_dist_sparse", TORCH_BOX(&Distances<Device>::linf_dist_sparse)); \
    m.impl("linf_dist_sparse_argmax", TORCH_BOX(&Distances<Device>::linf_dist_sparse_argmax)); \
    m.impl("linf_dist_sparse_bounds", TORCH_BOX(&Distances<Device>::linf_dist_sparse_bounds))

}  // namespace
