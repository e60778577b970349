/* library.c: a built .so in this process: its code and tables, run by the same functions as a model
 * that was compiled here.
 *
 * The file is read before it is loaded: loading runs what a library wants run, so that something
 * else than a model's library is refused by its symbols and not by its effects. The prefix of its
 * functions is anything, and is found by the one symbol that ends in `_library`. */
#include "driver/library.h"

#include "runtime/host/files.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

static const char ending[] = "_library";

bool library_is_path(const char *path)
{
    size_t n = strlen(path);
    return n > 3 && !strcmp(path + n - 3, ".so");
}

typedef struct {
    const char *bytes;
    size_t size;
} Bytes;

/* A table of `count` rows of `row` bytes within the file, or NULL. */
static const void *range(const Bytes *b, uint64_t offset, uint64_t count, uint64_t row)
{
    uint64_t bytes, end;
    bool ok = !__builtin_mul_overflow(count, row, &bytes) &&
              !__builtin_add_overflow(offset, bytes, &end) && end <= b->size && offset % 8 == 0;
    return ok ? b->bytes + offset : NULL;
}

static bool is_elf(const Bytes *b)
{
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)b->bytes;
    return b->size >= sizeof *h && !memcmp(h->e_ident, ELFMAG, SELFMAG) &&
           h->e_ident[EI_CLASS] == ELFCLASS64 && h->e_type == ET_DYN && h->e_machine == EM_X86_64 &&
           h->e_shentsize == sizeof(Elf64_Shdr);
}

static bool is_ours(const Elf64_Sym *s, const char *name)
{
    size_t n = strlen(name), m = sizeof ending - 1;
    return s->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(s->st_info) == STT_OBJECT &&
           s->st_size == sizeof(DlrtLibrary) && n > m && !strcmp(name + n - m, ending);
}

/* The name of the symbol in the file's dynamic table, or NULL. */
static const char *find_symbol(const Bytes *b, Arena *a)
{
    if (!is_elf(b))
        return NULL;
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)b->bytes;
    const Elf64_Shdr *section = range(b, h->e_shoff, h->e_shnum, sizeof *section);
    for (int i = 0; section && i < h->e_shnum; i++) {
        if (section[i].sh_type != SHT_DYNSYM || section[i].sh_link >= h->e_shnum)
            continue;
        const Elf64_Shdr *names = &section[section[i].sh_link];
        uint64_t count = section[i].sh_size / sizeof(Elf64_Sym);
        const Elf64_Sym *symbol = range(b, section[i].sh_offset, count, sizeof *symbol);
        bool inside = names->sh_offset <= b->size && names->sh_size <= b->size - names->sh_offset;
        const char *text = inside ? b->bytes + names->sh_offset : NULL;
        for (uint64_t k = 0; symbol && text && k < count; k++) {
            uint64_t at = symbol[k].st_name;
            if (at >= names->sh_size || !memchr(text + at, 0, names->sh_size - at))
                continue;
            if (is_ours(&symbol[k], text + at))
                return arena_strndup(a, text + at, strlen(text + at));
        }
    }
    return NULL;
}

bool library_open(const char *path, Arena *a, Library *out, HostError *out_error)
{
    char *bytes;
    size_t size;
    *out = (Library){ 0 };
    if (!host_file_read(path, 0, &bytes, &size, out_error))
        return false;
    const char *symbol = find_symbol(&(Bytes){ bytes, size }, a);
    free(bytes);
    if (!symbol)
        return host_fail(out_error, "E0603",
                         "%s: no library of a model, or one without tables; build it with `dlcc "
                         "model.dl -o model.so`",
                         path);
    /* A name without a slash would be looked for where the system's libraries are. */
    const char *name = strchr(path, '/') ? path : arena_printf(a, "./%s", path);
    out->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!out->handle)
        return host_fail(out_error, "E0602", "%s", dlerror());
    const DlrtLibrary *l = dlsym(out->handle, symbol);
    if (!l || l->magic != DLRT_LIBRARY_MAGIC || l->version != DLRT_VERSION)
        return host_fail(out_error, "E0490", "%s: made by another version of dlcc", path);
    out->table = l;
    return true;
}

void library_close(Library *l)
{
    if (l->handle)
        dlclose(l->handle);
    *l = (Library){ 0 };
}

static int read_inside(void *user, uint64_t offset, void *data, size_t size)
{
    memcpy(data, (const char *)user + offset, size);
    return 0;
}

bool library_weights(const Library *l, DlrtIo *out_io)
{
    if (!l->table || !l->table->weights)
        return false;
    *out_io = (DlrtIo){ .user = (void *)(uintptr_t)l->table->weights,
                        .read = read_inside,
                        .size = l->table->weights_size };
    return true;
}
