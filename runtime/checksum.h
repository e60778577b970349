/* checksum.h: 64-bit checksums of file contents: XXH64 (Yann Collet's public specification), with
 * seed 0, so that any xxhsum can check a tensor. Not cryptographic: against damage, not malice. */
#ifndef DLCC_RUNTIME_CHECKSUM_H
#define DLCC_RUNTIME_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t lane[4];
    uint64_t total;
    unsigned char tail[32]; /* total % 32 bytes not yet mixed in */
} DlrtChecksum;

DlrtChecksum dlrt_checksum_new(void);
void dlrt_checksum_add(DlrtChecksum *c, const void *data, size_t size);
uint64_t dlrt_checksum_end(const DlrtChecksum *c);

#endif
