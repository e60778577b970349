/* png.c: PNG images to and from u8 arrays, with libpng where the build has it.
 *
 * The low-level interface, because the simplified one applies gamma, and a model must see the
 * numbers that stand in the file. libpng reports errors by longjmp: everything that must survive
 * one lives in a struct outside the function that calls setjmp. */
#include "runtime/host/files.h"
#include "runtime/host/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#ifndef DLCC_HAVE_PNG

bool host_png_read(const char *path, int64_t height, int64_t width, int channels,
                   HostNpy *out_image,
                   HostError *out_error)
{
    (void)height, (void)width, (void)channels;
    *out_image = (HostNpy){ 0 };
    return host_fail(out_error, "E0613", "%s: PNG is not supported by this build (no libpng)",
                     path);
}

bool host_png_write(const char *path, const HostNpy *image, HostError *out_error)
{
    (void)image;
    return host_fail(out_error, "E0613", "%s: PNG is not supported by this build (no libpng)",
                     path);
}

#else
#include <png.h>

enum { PNG_MAX_PIXELS = 1 << 28 };

typedef struct {
    const char *path;
    HostError *error;
    png_structp png;
    png_infop info;
    /* reading */
    const uint8_t *bytes;
    size_t size, at;
    int64_t want_height, want_width;
    int want_channels;
    HostNpy *out;
    /* writing */
    HostWriter writer;
    const HostNpy *image;
    png_bytep *rows;
} Job;

static void on_error(png_structp png, png_const_charp message)
{
    Job *job = png_get_error_ptr(png);
    host_fail(job->error, "E0603", "%s: %s", job->path, message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message;
}

static void take_bytes(png_structp png, png_bytep to, size_t n)
{
    Job *job = png_get_io_ptr(png);
    if (n > job->size - job->at)
        png_error(png, "the file is truncated");
    memcpy(to, job->bytes + job->at, n);
    job->at += n;
}

static void give_bytes(png_structp png, png_bytep from, size_t n)
{
    Job *job = png_get_io_ptr(png);
    host_writer_put(&job->writer, from, n);
}

static void flush_bytes(png_structp png)
{
    (void)png;
}

/* Asks libpng for 8 bits in the wanted channels; checks what the file has against what is wanted.
 */
static bool agree(Job *job, int *out_channels, int64_t *out_height, int64_t *out_width)
{
    png_uint_32 w = png_get_image_width(job->png, job->info);
    png_uint_32 h = png_get_image_height(job->png, job->info);
    int type = png_get_color_type(job->png, job->info), depth = png_get_bit_depth(job->png,
                                                                                  job->info);
    bool colour = type & PNG_COLOR_MASK_COLOR;
    bool alpha = type & PNG_COLOR_MASK_ALPHA || png_get_valid(job->png, job->info, PNG_INFO_tRNS);
    int channels = job->want_channels ? job->want_channels : alpha ? 4 : colour ? 3 : 1;
    *out_channels = channels;
    *out_height = h;
    *out_width = w;
    if ((job->want_height > 0 && job->want_height != h)
        || (job->want_width > 0 && job->want_width != w))
        return host_fail(job->error, "E0604",
                         "%s is %u x %u pixels (height x width), but %" PRId64 " x %" PRId64
                         " are wanted; images are not resized",
                         job->path, h, w, job->want_height, job->want_width);
    if (channels == 1 && colour)
        return host_fail(job->error, "E0604", "%s is in colour, but one gray channel is wanted",
                         job->path);
    uint64_t packed = (uint64_t)w * h * (unsigned)depth / 8;
    if ((uint64_t)w * h > PNG_MAX_PIXELS)
        return host_fail(job->error, "E0609", "%s: %u x %u pixels are too many", job->path, h, w);
    if (!host_plausible_deflate(job->size, packed))
        return host_fail(job->error, "E0603", "%s is truncated: %zu bytes for %u x %u pixels",
                         job->path, job->size, h, w);
    png_set_expand(job->png);
    png_set_scale_16(job->png);
    if (channels >= 3)
        png_set_gray_to_rgb(job->png);
    if (channels == 4)
        png_set_add_alpha(job->png, 255, PNG_FILLER_AFTER);
    else
        png_set_strip_alpha(job->png);
    return true;
}

static bool read_image(Job *job)
{
    int channels;
    int64_t height, width;
    if (setjmp(png_jmpbuf(job->png)))
        return false;
    png_set_user_limits(job->png, PNG_MAX_PIXELS, PNG_MAX_PIXELS);
    png_set_read_fn(job->png, job, take_bytes);
    png_read_info(job->png, job->info);
    if (!agree(job, &channels, &height, &width))
        return false;
    png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
    size_t row = (size_t)width * (size_t)channels;
    if (png_get_rowbytes(job->png, job->info) != row)
        png_error(job->png, "unexpected row size");
    *job->out = (HostNpy){ .dtype = DLRT_U8, .rank = channels == 1 ? 2 : 3,
                           .dims = { height, width, channels == 1 ? 0 : channels } };
    job->out->data = host_malloc(row * (size_t)height);
    job->rows = calloc((size_t)height, sizeof *job->rows);
    if (!job->out->data || !job->rows)
        return host_fail_memory(job->error, job->path, (int64_t)row * height);
    for (int64_t i = 0; i < height; i++)
        job->rows[i] = (png_bytep)job->out->data + (size_t)i * row;
    png_read_image(job->png, job->rows);
    png_read_end(job->png, NULL);
    return true;
}

bool host_png_read(const char *path, int64_t height, int64_t width, int channels,
                   HostNpy *out_image,
                   HostError *out_error)
{
    char *bytes;
    *out_image = (HostNpy){ 0 };
    Job job = { .path = path, .error = out_error, .want_height = height, .want_width = width,
                .want_channels = channels, .out = out_image };
    if (channels < 0 || channels > 4 || channels == 2)
        return host_fail(out_error, "E0604", "%s: %d channels; an image has 1, 3 or 4", path,
                         channels);
    if (!host_file_read(path, 0, &bytes, &job.size, out_error))
        return false;
    job.bytes = (const uint8_t *)bytes;
    bool ok;
    if (job.size < 8 || png_sig_cmp(job.bytes, 0, 8)) {
        ok = host_fail(out_error, "E0603", "%s is no PNG file", path);
    } else {
        job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
        job.info = job.png ? png_create_info_struct(job.png) : NULL;
        ok = job.info ? read_image(&job) : host_fail_memory(out_error, path, 1 << 16);
        png_destroy_read_struct(&job.png, &job.info, NULL);
    }
    free(job.rows);
    free(bytes);
    if (!ok)
        host_npy_free(out_image);
    return ok;
}

static bool write_image(Job *job)
{
    const HostNpy *im = job->image;
    int channels = im->rank == 2 ? 1 : (int)im->dims[2];
    int type = channels == 1 ? PNG_COLOR_TYPE_GRAY : channels == 3 ? PNG_COLOR_TYPE_RGB
                                                                   : PNG_COLOR_TYPE_RGB_ALPHA;
    if (setjmp(png_jmpbuf(job->png)))
        return false;
    png_set_write_fn(job->png, job, give_bytes, flush_bytes);
    png_set_IHDR(job->png, job->info, (png_uint_32)im->dims[1], (png_uint_32)im->dims[0], 8, type,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(job->png, job->info);
    for (int64_t i = 0; i < im->dims[0]; i++)
        png_write_row(job->png, (png_const_bytep)im->data + i * im->dims[1] * channels);
    png_write_end(job->png, NULL);
    return true;
}

bool host_png_write(const char *path, const HostNpy *image, HostError *out_error)
{
    const int64_t *d = image->dims;
    bool shape = image->dtype == DLRT_U8 && (image->rank == 2 || image->rank == 3)
              && (image->rank == 2 || d[2] == 1 || d[2] == 3 || d[2] == 4);
    char text[160];
    if (!shape || d[0] < 1 || d[1] < 1 || d[0] > PNG_MAX_PIXELS / d[1])
        return host_fail(out_error, "E0604", "%s: %s is no image: u8[H, W] or u8[H, W, 1|3|4]",
                         path,
                         host_type_text(text, image->dtype, NULL, image->rank, d));
    Job job = { .path = path, .error = out_error, .image = image };
    job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    job.info = job.png ? png_create_info_struct(job.png) : NULL;
    if (!job.info) {
        png_destroy_write_struct(&job.png, &job.info);
        return host_fail_memory(out_error, path, 1 << 16);
    }
    host_writer_open(&job.writer, path);
    bool ok = write_image(&job);
    png_destroy_write_struct(&job.png, &job.info);
    return host_writer_close(&job.writer, ok, out_error);
}

#endif
