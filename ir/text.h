/* text.h: Units and graphs as text, and back.
 *
 *   unit "LinReg"
 *   tensor 0 "w" : f32[13] param trained
 *   tensor 1 "w/m" : f32[13] moment owner=0
 *   entry step "step" batch=32 {
 *     input 0 "x" : f32[B, 13]
 *     input 1 "label" : u8[B] bound=10
 *     %0 = input index=0 : f32[B, 13]
 *     %1 = tensor index=0 : f32[13]
 *     %2 = constant {0.5} : f32
 *     %3 = reduce_sum %0 axes=[0, 1] keep=0 : f32      # lenet.dl:7:20
 *     output "loss" %3
 *     output "w" %1 updates=0
 *   }
 *
 * Nodes are those that the outputs reach, numbered anew from 0 in their order. `#` starts a
 * comment. The recipe is not part of the text. Reading emits every node through the builder: the
 * types written after `:` are checked, not believed. */
#ifndef DLCC_IR_TEXT_H
#define DLCC_IR_TEXT_H
#include "ir/unit.h"

typedef enum {
    TEXT_EXACT,     /* everything: reads back to the same text */
    TEXT_SHORT,     /* long constants abbreviated: for people, does not read back */
    TEXT_LOCATIONS, /* like SHORT, and each node's place in the source as a comment */
} TextStyle;

/* As written in the text, by EntryKind and TensorKind. */
extern const char *const entry_kind_names[ENTRY_SCHEDULE + 1],
    *const tensor_kind_names[TENSOR_STAT + 1];

/* In `a`, never NULL. */
const char *unit_text(Arena *a, const Unit *u, TextStyle style);
const char *graph_text(Arena *a, const Graph *g, TextStyle style);

/* The Unit that a text says, in cx's arena. NULL: diagnostics with places in the text are recorded
 * in cx. Any bytes are allowed; they cannot make it crash, hang or allocate more than in proportion
 * to their number. */
Unit *unit_read(Compiler *cx, const char *path, const char *text, size_t size);

#endif
