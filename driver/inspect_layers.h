/* inspect_layers.h: the layers of an entry, for those who know a model by its parameters. */
#ifndef DLCC_DRIVER_INSPECT_LAYERS_H
#define DLCC_DRIVER_INSPECT_LAYERS_H
#include "ir/unit.h"

/* Parameters of one name up to its last dot, and what meets them. */
typedef struct {
    const char *name;
    Dtype dtype;    /* of the last value that is computed by them from an input */
    Shape shape;
    int64_t params; /* numbers */
    double flops;   /* at the largest batch: products and sums with them */
} ModelLayer;

typedef struct {
    const char *entry; /* NULL: there is none */
    VEC(ModelLayer) layers;
} ModelLayers;

/* Of the export with most of them, as it is before any pass, in the order in which they are met. In
 * the unit's arena. */
ModelLayers inspect_layers(Unit *u);

#endif
