/* embedded.c: files put into the program by the assembler. The build names them: DLRT_OBJECT is the
 * runtime as one object. */
#include "backend/embedded.h"

#define EMBED(name, file)                                                                          \
    __asm__(".section .rodata\n.balign 16\n.global " #name "\n" #name ":\n.incbin \"" file         \
            "\"\n.global " #name "_end\n" #name "_end:\n.byte 0\n.text\n")

EMBED(embedded_dlrt_o, DLRT_OBJECT);
EMBED(embedded_dlrt_h, DLRT_SOURCE "/dlrt.h");
EMBED(embedded_plan_h, DLRT_SOURCE "/plan.h");
