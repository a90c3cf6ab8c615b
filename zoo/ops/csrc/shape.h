// What distances are between. B batch, O out features, I in features, E edges.
#pragma once

#include <cstdint>

namespace zoo {

struct Shape {
    int64_t b, o, i;
};

// What a pruned layer has kept: value_e stands at feature index_e; those of output o are from start_o to start_(o+1).
template <class T> struct Edges {
    const T* value_E;
    const uint16_t* index_E;
    const int32_t* start;
    int64_t num_edges;
};

}  // namespace zoo
