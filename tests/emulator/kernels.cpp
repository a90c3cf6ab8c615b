// The kernels of zoo/ops/csrc/cuda on a host, for ctypes: all that zoo/ops/csrc/cuda/run.cuh offers.
#define ZOO_EMULATED
#include "../../zoo/ops/csrc/cuda/run.cuh"

#include <list>
#include <string>

namespace {

// Memory of whole pages that ends at one which nothing may read, filled with NaN.
template <class T> class Guarded {
    static constexpr size_t kPage = 4096;
    size_t bytes_;
    char* base_;
    T* data_;

  public:
    explicit Guarded(int64_t count) {
        // On 16 bytes, as torch's memory is.
        const size_t size = (count * sizeof(T) + 15) / 16 * 16;
        bytes_ = (size + kPage - 1) / kPage * kPage + kPage;
        base_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(base_ + bytes_ - kPage, kPage, PROT_NONE);
        memset(base_, 0xff, bytes_ - kPage);
        data_ = reinterpret_cast<T*>(base_ + bytes_ - kPage - size);
    }
    ~Guarded() { munmap(base_, bytes_); }
    Guarded(const Guarded&) = delete;
    T* get() const { return data_; }
};

struct Context {
    Stream stream = 0;
    int processors;
    std::list<Guarded<char>> held;

    explicit Context(int processors) : processors(processors) {}
    template <class T> T* memory(int64_t count) {
        held.emplace_back(count * int64_t(sizeof(T)));
        return reinterpret_cast<T*>(held.back().get());
    }
};

// What an op is given; `in` and `out` in the order of its parameters.
struct Arguments {
    const void* in[5];
    void* out[2];
    double p;
    int64_t num_k, num_edges;
};

template <class T> int run_op(const std::string& op, Shape shape, Context& context, const Arguments& arguments) {
    const int64_t x_size = shape.b * shape.i, w_size = shape.o * shape.i, pairs = shape.b * shape.o;
    const auto given = [&](int k, int64_t count) {
        T* copy = context.memory<T>(count);
        return static_cast<const T*>(memcpy(copy, arguments.in[k], count * sizeof(T)));
    };
    const auto given_ints = [&](int k, int64_t count, auto zero) {
        auto* copy = context.memory<decltype(zero)>(count);
        return static_cast<const decltype(zero)*>(memcpy(copy, arguments.in[k], count * sizeof(zero)));
    };
    struct Copy {
        void *from, *to;
        size_t bytes;
    };
    std::vector<Copy> copies;
    const auto wanted = [&](int k, int64_t count, auto zero) {
        auto* out = context.memory<decltype(zero)>(count);
        copies.push_back({out, arguments.out[k], count * sizeof(zero)});
        return out;
    };
    const auto edges = [&](int k) {
        const int64_t count = arguments.num_edges;
        const uint16_t* index = given_ints(k + 1, count, uint16_t());
        return zoo::Edges<T>{given(k, count), index, given_ints(k + 2, shape.o + 1, int32_t()), count};
    };
    const T zero = 0;
    const int32_t none = 0;
    const int num_k = int(arguments.num_k);
    int error = -1;
    if (op == "linf") error = run_linf(shape, given(0, x_size), given(1, w_size), wanted(0, pairs, zero), context);
    if (op == "linf_argmax")
        error = run_linf_argmax(
            shape, given(0, x_size), given(1, w_size), wanted(0, pairs, zero), wanted(1, pairs, none), context);
    if (op == "linf_backward")
        error = run_linf_backward(
            shape, given(0, pairs), given(1, x_size), given(2, w_size), given_ints(3, pairs, none),
            wanted(0, x_size, zero), wanted(1, w_size, zero), context);
    if (op == "linf_bounds")
        error = run_linf_bounds(
            shape, given(0, x_size), given(1, x_size), given(2, w_size), wanted(0, pairs, zero),
            wanted(1, pairs, zero), context);
    if (op == "lp")
        error = run_lp(shape, given(0, x_size), given(1, w_size), arguments.p, wanted(0, pairs, zero), context);
    if (op == "lp_backward")
        error = run_lp_backward(
            shape, given(0, pairs), given(1, x_size), given(2, w_size), given(3, pairs), arguments.p,
            wanted(0, x_size, zero), wanted(1, w_size, zero), context);
    if (op == "sorted")
        error = run_sorted(
            shape, given(0, x_size), given(1, w_size), given(2, num_k), num_k, wanted(0, pairs, zero), context);
    if (op == "sorted_at")
        error = run_sorted_at(
            shape, given(0, x_size), given(1, w_size), num_k, wanted(0, pairs * num_k, none), context);
    if (op == "sorted_bounds")
        error = run_sorted_bounds(
            shape, given(0, x_size), given(1, x_size), given(2, w_size), given(3, num_k), num_k,
            wanted(0, pairs, zero), wanted(1, pairs, zero), context);
    if (op == "edges") error = run_edges(shape, given(0, x_size), edges(1), wanted(0, pairs, zero), context);
    if (op == "edges_argmax")
        error = run_edges_argmax(
            shape, given(0, x_size), edges(1), wanted(0, pairs, zero), wanted(1, pairs, none), context);
    if (op == "edges_bounds")
        error = run_edges_bounds(
            shape, given(0, x_size), given(1, x_size), edges(2), wanted(0, pairs, zero), wanted(1, pairs, zero),
            context);
    for (const Copy& copy : copies) memcpy(copy.to, copy.from, copy.bytes);
    return error;
}

}  // namespace

// 0, or why it failed.
extern "C" int emulate(
    const char* op, int wide, int64_t b, int64_t o, int64_t i, int processors, int backwards,
    const Arguments* arguments) {
    emulator::order = backwards;
    Context context(processors);
    if (wide) return run_op<double>(op, {b, o, i}, context, *arguments);
    return run_op<float>(op, {b, o, i}, context, *arguments);
}
