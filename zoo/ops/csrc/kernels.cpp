// The kernels, compiled apart from the headers of torch and for one instruction set.
#include "lines.h"
#include "linf.h"
#include "linf_edges.h"
#include "lp.h"
#include "relu_lines.h"
#include "sort.h"

namespace zoo {

#define ZOO_KERNELS(T)                                                                              \
    {linf<T>, linf_argmax<T>, linf_backward<T>, linf_bounds<T>, lp<T>, lp_backward<T>, sorted<T>, \
     sorted_at<T>, sorted_bounds<T>, linf_edges<T>, linf_edges_argmax<T>, linf_edges_bounds<T>,   \
     pull_lines<T>, pull_lines_backward<T>, relu_chord<T>, relu_chord_backward<T>, relu_offsets<T>,         \
     relu_offsets_backward<T>}
extern const Kernels<float> floats = ZOO_KERNELS(float);
extern const Kernels<double> doubles = ZOO_KERNELS(double);

}  // namespace zoo
