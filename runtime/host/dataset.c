/* dataset.c: where data sets lie: the search order of find("name"), and the data sets that install
 * with a Debian package. */
#include "runtime/host/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *name, *path, *package;
    const char *classes[10];
    const char *unpack; /* path NULL: what makes a readable file of what the package carries */
} Dataset;

#define SKLEARN "/usr/lib/python3/dist-packages/sklearn/datasets/data/"

/* Sorted by name. */
static const Dataset datasets[] = {
    { "boston", SKLEARN "boston_house_prices.csv", "python3-sklearn", { 0 }, NULL },
    { "breast_cancer", SKLEARN "breast_cancer.csv", "python3-sklearn", { 0 }, NULL },
    { "digits", SKLEARN "digits.csv.gz", "python3-sklearn", { 0 }, NULL },
    { "fashion-mnist", "/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist",
      { "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot" }, NULL },
    { "gpl-3", "/usr/share/common-licenses/GPL-3", "base-files", { 0 }, NULL },
    { "iris", SKLEARN "iris.csv", "python3-sklearn", { 0 }, NULL },
    { "kjv", NULL, "bible-kjv bible-kjv-text", { 0 },
      "bible -l200 gen1:1-rev22:21 > ~/.local/share/dlcc/kjv.txt" },
    { "linnerud", SKLEARN "linnerud_exercise.csv", "python3-sklearn", { 0 }, NULL },
    { "wine", SKLEARN "wine_data.csv", "python3-sklearn", { 0 }, NULL },
    { "words", "/usr/share/dict/words", "wamerican", { 0 }, NULL },
};
enum { DATASETS = sizeof datasets / sizeof *datasets };

static const char *const suffixes[] = { "", ".csv", ".csv.gz", ".tsv", ".txt", ".npz", ".npy" };
enum { SUFFIXES = sizeof suffixes / sizeof *suffixes };

static const Dataset *dataset_find(const char *name)
{
    for (int i = 0; i < DATASETS; i++)
        if (!strcmp(datasets[i].name, name))
            return &datasets[i];
    return NULL;
}

const char *const *host_known_classes(const char *base_name, int *out_count)
{
    const Dataset *d = dataset_find(base_name);
    int n = 0;
    while (d && n < 10 && d->classes[n])
        n++;
    *out_count = n;
    return n ? d->classes : NULL;
}

/* Tries a folder (of `length` bytes; 0: the working directory). */
static bool try_folder(const char *folder, size_t length, const char *name, char *out, size_t size)
{
    for (int i = 0; i < SUFFIXES; i++) {
        int n = length ? snprintf(out, size, "%.*s/%s%s", (int)length, folder, name, suffixes[i])
                       : snprintf(out, size, "%s%s", name, suffixes[i]);
        if (n > 0 && (size_t)n < size && !access(out, F_OK))
            return true;
    }
    return false;
}

bool host_find(const char *name, const char *base, char *out_path, size_t path_size,
               HostError *out_error)
{
    if (!*name)
        return host_fail(out_error, "E0601", "find(\"\"): the name is empty");
    const char *home = getenv("HOME"), *own = getenv("DLCC_DATA");
    char local[4096];
    if (*name == '/') {
        if (try_folder("", 0, name, out_path, path_size))
            return true;
        return host_fail(out_error, "E0601", "%s: no such file or folder", name);
    }
    if (try_folder(base ? base : "", base ? strlen(base) : 0, name, out_path, path_size))
        return true;
    for (const char *p = own; p && *p;) {
        size_t length = strcspn(p, ":");
        if (length && try_folder(p, length, name, out_path, path_size))
            return true;
        p += length + (p[length] == ':');
    }
    if (home && *home) {
        int n = snprintf(local, sizeof local, "%s/.local/share/dlcc", home);
        if (n > 0 && n < (int)sizeof local
            && try_folder(local, (size_t)n, name, out_path, path_size))
            return true;
    }
    const char *shared = "/usr/share/datasets";
    if (try_folder(shared, strlen(shared), name, out_path, path_size))
        return true;
    const Dataset *d = dataset_find(name);
    if (d && d->path && strlen(d->path) < path_size && !access(d->path, F_OK)) {
        strcpy(out_path, d->path);
        return true;
    }
    char help[240] = "";
    if (d && d->path)
        snprintf(help, sizeof help, "; it comes with the Debian package %s (apt install %s)",
                 d->package, d->package);
    else if (d)
        snprintf(help, sizeof help, "; to get it: apt install %s, then %s", d->package, d->unpack);
    return host_fail(out_error, "E0601",
                     "no data set `%.100s` in %.100s, $DLCC_DATA%s%.100s, ~/.local/share/dlcc, "
                     "%s%s",
                     name, base && *base ? base : ".", own && *own ? "=" : "",
                     own && *own ? own : "", shared, help);
}
