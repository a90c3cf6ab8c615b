// The ops' CUDA kernels, registered with torch by its stable ABI. What is not finite the kernels compute themselves, as
// looking for it would make each call wait for the device; half precision is the reference's.
#include "run.cuh"

#include "../checks.h"

extern "C" int32_t aoti_torch_get_current_cuda_stream(int32_t device, void** stream);

namespace {

// Where an op runs: the device and stream of its operands, and memory that torch gives and takes back in stream order.
class Context {
    torch::stable::accelerator::DeviceGuard guard_;
    Tensor like_;
    std::vector<Tensor> held_;

  public:
    Stream stream = nullptr;
    int processors = 1;

    explicit Context(const Tensor& like) : guard_(like.get_device_index()), like_(like) {
        const int device = like.get_device_index();
        void* current = nullptr;
        STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &current));
        stream = static_cast<Stream>(current);
        cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    }
    template <class T> T* memory(int64_t count) {
        held_.push_back(torch::stable::new_empty(like_, {count * int64_t(sizeof(T))}, ScalarType::Byte));
        return out<T>(held_.back());
    }
};

// Operands that are not on one device would be read where they are not.
template <class... Others> void check_device(const char* op, const Tensor& first, const Others&... others) {
    const auto there = [&](const Tensor& other) {
        return other.is_cuda() && other.get_device_index() == first.get_device_index();
    };
    const bool alike = (there(others) && ... && first.is_cuda());
    STD_TORCH_CHECK(alike, op, ": needs all operands on one CUDA device");
}

// f(context, T()) for the tensor's type, if there is a pair.
template <class F> void run_on_device(const char* op, const Tensor& tensor, Shape shape, F f) {
    if (shape.b == 0 || shape.o == 0) return;
    STD_TORCH_CHECK(
        shape.i < (int64_t(1) << 31) && shape.o < (int64_t(1) << 31) && shape.b < (int64_t(1) << 20), op,
        ": more than a kernel's indices can count");
    Context context(tensor);
    const int error = tensor.scalar_type() == ScalarType::Float ? f(context, float()) : f(context, double());
    STD_TORCH_CHECK(error == 0, op, ": CUDA refused a kernel: ", cudaGetErrorString(cudaError_t(error)));
}

Tensor linf_dist(Tensor x_BI, Tensor w_OI) {
    const char* op = "linf_dist";
    const Shape shape = checked(op, x_BI, w_OI);
    check_device(op, x_BI, w_OI);
    if (!full_precision(x_BI)) return first(reference(op, x_BI, w_OI));
    const Tensor y_BO = new_BO(x_BI, shape);
    run_on_device(op, x_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_linf(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), context);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> linf_dist_argmax(Tensor x_BI, Tensor w_OI) {
    const char* op = "linf_dist_argmax";
    const Shape shape = checked(op, x_BI, w_OI);
    check_device(op, x_BI, w_OI);
    if (!full_precision(x_BI)) return both(reference(op, x_BI, w_OI));
    const Tensor y_BO = new_BO(x_BI, shape);
    const Tensor at_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
    run_on_device(op, x_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_linf_argmax(shape, in<T>(x_BI), in<T>(w_OI), out<T>(y_BO), out<int32_t>(at_BO), context);
    });
    return {y_BO, at_BO};
}

std::tuple<Tensor, Tensor> linf_dist_backward(Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor at_BO) {
    const char* op = "linf_dist_backward";
    const Shape shape = checked(op, x_BI, w_OI);
    check(op, grad_BO, x_BI.scalar_type(), shape.b, shape.o);
    check(op, at_BO, ScalarType::Int, shape.b, shape.o);
    check_device(op, x_BI, w_OI, grad_BO, at_BO);
    if (!full_precision(x_BI)) return both(reference(op, grad_BO, x_BI, w_OI, at_BO));
    const auto [grad_x_BI, grad_w_OI] = new_gradients(x_BI, w_OI, shape);
    run_on_device(op, x_BI, shape, [&, x_out = grad_x_BI, w_out = grad_w_OI](Context& context, auto t) {
        using T = decltype(t);
        return run_linf_backward(
            shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<int32_t>(at_BO), out<T>(x_out), out<T>(w_out), context);
    });
    return {grad_x_BI, grad_w_OI};
}

std::tuple<Tensor, Tensor> linf_dist_bounds(Tensor lower_BI, Tensor upper_BI, Tensor w_OI) {
    const char* op = "linf_dist_bounds";
    const Shape shape = checked(op, lower_BI, w_OI);
    check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
    check_device(op, lower_BI, upper_BI, w_OI);
    if (!full_precision(lower_BI)) return both(reference(op, lower_BI, upper_BI, w_OI));
    const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
    run_on_device(op, lower_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_linf_bounds(
            shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(w_OI), out<T>(lower_BO), out<T>(upper_BO), context);
    });
    return {lower_BO, upper_BO};
}

Tensor lp_dist(Tensor x_BI, Tensor w_OI, double p) {
    const char* op = "lp_dist";
    const Shape shape = checked(op, x_BI, w_OI);
    check_device(op, x_BI, w_OI);
    if (!full_precision(x_BI)) return first(reference(op, x_BI, w_OI, p));
    const Tensor y_BO = new_BO(x_BI, shape);
    run_on_device(op, x_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_lp(shape, in<T>(x_BI), in<T>(w_OI), p, out<T>(y_BO), context);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> lp_dist_backward(
    Tensor grad_BO, Tensor x_BI, Tensor w_OI, Tensor y_BO, double p, bool of_x, bool of_w) {
    const char* op = "lp_dist_backward";
    const Shape shape = checked(op, x_BI, w_OI);
    check(op, grad_BO, x_BI.scalar_type(), shape.b, shape.o);
    check(op, y_BO, x_BI.scalar_type(), shape.b, shape.o);
    check_device(op, x_BI, w_OI, grad_BO, y_BO);
    if (!full_precision(x_BI)) return both(reference(op, grad_BO, x_BI, w_OI, y_BO, p, of_x, of_w));
    const auto [grad_x_BI, grad_w_OI] = new_gradients(x_BI, w_OI, shape);
    run_on_device(op, x_BI, shape, [&, x_out = grad_x_BI, w_out = grad_w_OI](Context& context, auto t) {
        using T = decltype(t);
        return run_lp_backward(
            shape, in<T>(grad_BO), in<T>(x_BI), in<T>(w_OI), in<T>(y_BO), p, out<T>(x_out), out<T>(w_out), context);
    });
    return {grad_x_BI, grad_w_OI};
}

Tensor sort_dist(Tensor x_BI, Tensor w_OI, Tensor v_K) {
    const char* op = "sort_dist";
    const Shape shape = checked(op, x_BI, w_OI);
    check_device(op, x_BI, w_OI, v_K);
    if (!full_precision(x_BI)) return first(reference(op, x_BI, w_OI, v_K));
    check_order(op, v_K, x_BI, shape);
    const Tensor y_BO = new_BO(x_BI, shape);
    run_on_device(op, x_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_sorted(shape, in<T>(x_BI), in<T>(w_OI), in<T>(v_K), int(v_K.numel()), out<T>(y_BO), context);
    });
    return y_BO;
}

Tensor sort_dist_at(Tensor x_BI, Tensor w_OI, int64_t num_k) {
    const char* op = "sort_dist_at";
    const Shape shape = checked(op, x_BI, w_OI);
    check_device(op, x_BI, w_OI);
    check_order(op, num_k, shape);
    if (!full_precision(x_BI) || num_k > 64) return first(reference(op, x_BI, w_OI, num_k));
    const Tensor at_BOK = torch::stable::new_empty(x_BI, {shape.b, shape.o, num_k}, ScalarType::Int);
    run_on_device(op, x_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_sorted_at(shape, in<T>(x_BI), in<T>(w_OI), int(num_k), out<int32_t>(at_BOK), context);
    });
    return at_BOK;
}

std::tuple<Tensor, Tensor> order_dist_bounds(Tensor lower_BI, Tensor upper_BI, Tensor w_OI, Tensor v_K) {
    const char* op = "order_dist_bounds";
    const Shape shape = checked(op, lower_BI, w_OI);
    check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
    check_device(op, lower_BI, upper_BI, w_OI, v_K);
    if (!full_precision(lower_BI)) return both(reference(op, lower_BI, upper_BI, w_OI, v_K));
    check_order(op, v_K, lower_BI, shape);
    const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
    run_on_device(op, lower_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_sorted_bounds(
            shape, in<T>(lower_BI), in<T>(upper_BI), in<T>(w_OI), in<T>(v_K), int(v_K.numel()), out<T>(lower_BO),
            out<T>(upper_BO), context);
    });
    return {lower_BO, upper_BO};
}

template <class T> Edges<T> edges_of(Shape shape, const Tensor& value_E, const Tensor& index_E, const Tensor& start) {
    return {shape, in<T>(value_E), in<uint16_t>(index_E), in<int32_t>(start), value_E.numel()};
}

Tensor linf_dist_sparse(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
    const char* op = "linf_dist_sparse";
    const Shape shape = shape_of_edges(op, x_BI, value_E, index_E, start);
    check_device(op, x_BI, value_E, index_E, start);
    if (!full_precision(x_BI)) return first(reference(op, x_BI, value_E, index_E, start));
    const Tensor y_BO = new_BO(x_BI, shape);
    run_on_device(op, x_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_edges(edges_of<T>(shape, value_E, index_E, start), in<T>(x_BI), out<T>(y_BO), context);
    });
    return y_BO;
}

std::tuple<Tensor, Tensor> linf_dist_sparse_argmax(Tensor x_BI, Tensor value_E, Tensor index_E, Tensor start) {
    const char* op = "linf_dist_sparse_argmax";
    const Shape shape = shape_of_edges(op, x_BI, value_E, index_E, start);
    check_device(op, x_BI, value_E, index_E, start);
    if (!full_precision(x_BI)) return both(reference(op, x_BI, value_E, index_E, start));
    const Tensor y_BO = new_BO(x_BI, shape);
    const Tensor edge_BO = torch::stable::new_empty(x_BI, {shape.b, shape.o}, ScalarType::Int);
    run_on_device(op, x_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_edges_argmax(
            edges_of<T>(shape, value_E, index_E, start), in<T>(x_BI), out<T>(y_BO), out<int32_t>(edge_BO), context);
    });
    return {y_BO, edge_BO};
}

std::tuple<Tensor, Tensor> linf_dist_sparse_bounds(
    Tensor lower_BI, Tensor upper_BI, Tensor value_E, Tensor index_E, Tensor start) {
    const char* op = "linf_dist_sparse_bounds";
    const Shape shape = shape_of_edges(op, lower_BI, value_E, index_E, start);
    check(op, upper_BI, lower_BI.scalar_type(), shape.b, shape.i);
    check_device(op, lower_BI, upper_BI, value_E, index_E, start);
    if (!full_precision(lower_BI)) return both(reference(op, lower_BI, upper_BI, value_E, index_E, start));
    const Tensor lower_BO = new_BO(lower_BI, shape), upper_BO = new_BO(lower_BI, shape);
    run_on_device(op, lower_BI, shape, [&](Context& context, auto t) {
        using T = decltype(t);
        return run_edges_bounds(
            edges_of<T>(shape, value_E, index_E, start), in<T>(lower_BI), in<T>(upper_BI), out<T>(lower_BO),
            out<T>(upper_BO), context);
    });
    return {lower_BO, upper_BO};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(zoo, CUDA, m) {
    ZOO_IMPLEMENT_DISTANCES(m);
}
