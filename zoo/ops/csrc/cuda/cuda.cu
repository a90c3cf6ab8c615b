// The ops' CUDA kernels, registered with torch by its stable ABI. What is not finite the kernels compute themselves, as
// looking for it would make each call wait for the device; half precision is the reference's.
#include "run.cuh"

#include "../distances.h"

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

// The device of distances.h.
struct Cuda {
    // Operands that are not on one device would be read where they are not.
    template <class... Others> static void check(const char* op, const Tensor& first, const Others&... others) {
        const auto there = [&](const Tensor& other) {
            return other.is_cuda() && other.get_device_index() == first.get_device_index();
        };
        const bool alike = (there(others) && ... && first.is_cuda());
        STD_TORCH_CHECK(alike, op, ": needs all operands on one CUDA device");
    }
    // To look at them would wait for the device: the kernels read nothing that is not there, whatever they say.
    static void check_winners(const char*, const Tensor&, Shape) {}
    static void check_edges(const char*, const Tensor&, const Tensor&, Shape) {}
    template <class... Others> static bool takes(const Tensor& first, const Others&...) { return full_precision(first); }
    template <class... Others> static bool takes_at_finite_p(const Tensor& first, const Others&...) { return takes(first); }
    static bool takes_gradient(const Tensor&) { return true; }
    static bool takes_places(int64_t num_k) { return num_k <= kMostPlaces; }
    template <class F> static void run(const char* op, const Tensor& like, Shape shape, F f) {
        if (shape.b == 0 || shape.o == 0) return;
        STD_TORCH_CHECK(
            shape.i < (int64_t(1) << 31) && shape.o < (int64_t(1) << 31) && shape.b < (int64_t(1) << 20), op,
            ": more than a kernel's indices can count");
        Context context(like);
        const CudaKernels kernels;
        const bool single = like.scalar_type() == ScalarType::Float;
        const int error = single ? f(kernels, context, float()) : f(kernels, context, double());
        STD_TORCH_CHECK(error == 0, op, ": CUDA refused a kernel: ", cudaGetErrorString(cudaError_t(error)));
    }
};

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(zoo, CUDA, m) {
    ZOO_IMPLEMENT_DISTANCES(m, Cuda);
}
