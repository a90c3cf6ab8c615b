// Sizes of what a distance is between: B batch, O out features, I in features.
#pragma once

#include <cstdint>

namespace zoo {

struct Shape {
    int64_t b, o, i;
};

}  // namespace zoo
