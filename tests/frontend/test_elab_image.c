/* test_elab_image.c: the library's functions of images and signals against numbers worked out by
 * hand. x[0] is the ramp 0, 1, 2. */
#include "tests/frontend/said.h"

static void resized(void **state)
{
    (void)state;
    static const Said t[] = {
        { "resize(x[0], [0], [6])", 1, { 6 }, { 0, 0, 1, 1, 2, 2 } },
        { "resize(n, [0], [4], coordinates=\"asymmetric\", nearest=\"ceil\")",
          1, { 4 }, { -7, -3, 1, 5 } },
        { "resize(x[0], [0], [6], mode=\"linear\")", 1, { 6 }, { 0, 0.25, 0.75, 1.25, 1.75, 2 } },
        { "resize(x[0], [0], [5], mode=\"linear\", coordinates=\"align_corners\")",
          1, { 5 }, { 0, 0.5, 1, 1.5, 2 } },
        { "resize(x[0], [0], [1], mode=\"linear\", coordinates=\"align_corners\")",
          1, { 1 }, { 0 } },
        { "resize(x[0], [0], [1], mode=\"linear\")", 1, { 1 }, { 1 } },
        { "resize(x[0], [0], [1], mode=\"linear\", coordinates=\"pytorch_half_pixel\")",
          1, { 1 }, { 0 } },
        /* 2 of 2.25 elements, about the middle: the old middle 1 is the new one */
        { "resize(x[0], [0], [2], scales=[0.75], mode=\"linear\", "
          "coordinates=\"half_pixel_symmetric\")",
          1, { 2 }, { 1.0/3, 5.0/3 } },
        { "resize(x, [0, 1], [1, 6], mode=\"linear\")",
          2, { 1, 6 }, { 1.5, 1.75, 2.25, 2.75, 3.25, 3.5 } },
        { "resize(f32(iota(8)), [0], [16], mode=\"cubic\", cubic_a=-0.5)[4..12]",
          1, { 8 }, { 1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.25 } },
        { "resize(f32(iota(4)), [0], [2], mode=\"linear\", antialias=true)",
          1, { 2 }, { 0.625, 2.375 } },
        { "resize(f32(iota(4)), [0], [2], mode=\"linear\", antialias=true, exclude_outside=true)",
          1, { 2 }, { 1.25 / 1.75, 3 - 1.25 / 1.75 } },
        { "resize(x[0], [0], [2], mode=\"linear\", coordinates=\"tf_crop_and_resize\", "
          "roi=[0.5, 1])", 1, { 2 }, { 1, 2 } },
        { "resize(x[0], [0], [2], mode=\"linear\", coordinates=\"tf_crop_and_resize\", "
          "roi=[0.5, 1.5], extrapolation=9)", 1, { 2 }, { 1, 9 } },
        { "resize(i32(2*iota(2)), [0], [4], mode=\"linear\")", 1, { 4 }, { 0, 0, 1, 2 } },
        { "center_crop_pad(n, [0], [3])", 1, { 3 }, { -3, -1, 1 } },
        { "center_crop_pad(x, [-1], [6])", 2, { 2, 6 }, { 0, 0, 1, 2, 0, 0, 0, 3, 4, 5, 0, 0 } },
    };
    EXPECT(t);
}

/* An image and a place of it: x as 1 x 1 x 2 x 3. */
#define AT(place, how) \
    "grid_sample(reshape(x, 1, 1, 2, 3), full(f32(" place "), 1, 1, 1, 2)" how ")"

static void sampled(void **state)
{
    (void)state;
    static const Said t[] = {
        { AT("0", ", align=true"), 4, { 1, 1, 1, 1 }, { 2.5 } },
        { AT("1", ", align=true"), 4, { 1, 1, 1, 1 }, { 5 } },
        { AT("1", ""), 4, { 1, 1, 1, 1 }, { 1.25 } }, /* the corner: a quarter of the last pixel */
        { AT("1", ", padding=\"border\""), 4, { 1, 1, 1, 1 }, { 5 } },
        { AT("2", ", align=true, padding=\"reflection\""), 4, { 1, 1, 1, 1 }, { 2.5 } },
        { AT("0.4", ", align=true, mode=\"nearest\""), 4, { 1, 1, 1, 1 }, { 4 } },
        { AT("0.9", ", mode=\"nearest\", padding=\"zeros\""), 4, { 1, 1, 1, 1 }, { 5 } },
        { "grid_sample(reshape(x, 1, 1, 2, 3), affine_grid(reshape(f32(iota(6) % 4 == 0), "
          "1, 2, 3), [2, 3]), mode=\"cubic\")[0, 0]", 2, { 2, 3 }, { 0, 1, 2, 3, 4, 5 } },
        { "affine_grid(reshape(f32(iota(6) % 4 == 0), 1, 2, 3), [2, 3], align=true)[0, 0]",
          2, { 3, 2 }, { -1, -1, 0, -1, 1, -1 } },
        { "grid_sample(reshape(x, 1, 1, 1, 2, 3), affine_grid(reshape(f32(iota(12) % 5 == 0), "
          "1, 3, 4), [1, 2, 3]))[0, 0, 0]", 2, { 2, 3 }, { 0, 1, 2, 3, 4, 5 } },
        /* half of the 2 x 3 image: its left half pixel and the middle one, in one row */
        { "roi_align(reshape(x, 1, 1, 2, 3), reshape(2*f32(iota(4)//2), 1, 4), i[0, 1..], 1, 2, 1)"
          "[0, 0, 0]", 1, { 2 }, { 1.5, 2.5 } },
        { "roi_align(reshape(x, 1, 1, 2, 3), reshape(f32(iota(4)//2), 1, 4), i[0, 1..], 1, 1, 1, "
          "half_pixel=false)[0, 0, 0]", 1, { 1 }, { 2 } },
        /* as many places as elements; of the second region some on the border to the right */
        { "roi_align_all(reshape(x, 1, 1, 2, 3), reshape(2*f32(iota(4)//2), 1, 4), i[0, 1..], 1, 2)"
          "[0, 0, 0]", 1, { 2 }, { 1.5, 2.5 } },
        { "roi_align_all(reshape(x, 1, 1, 2, 3), reshape(f32([0, 0, 4, 2]), 1, 4), i[0, 1..], 1, 2)"
          "[0, 0, 0]", 1, { 2 }, { 2, 3.5 } },
        { "max_roi_pool(reshape(x, 1, 1, 2, 3), reshape(f32([0, 0, 0, 2, 1]), 1, 5), 1, 2)"
          "[0, 0, 0]", 1, { 2 }, { 4, 5 } },
        { "max_roi_pool(reshape(x, 1, 1, 2, 3), reshape(f32([0, 4, 0, 5, 0]), 1, 5), 1, 1)"
          "[0, 0, 0]", 1, { 1 }, { 0 } }, /* outside */
        { "deform_conv(reshape(x, 1, 1, 2, 3), ones(1, 1, 1, 2), zeros(1, 4, 2, 2))[0, 0]",
          2, { 2, 2 }, { 1, 3, 7, 9 } },
        { "deform_conv(reshape(x, 1, 1, 2, 3), ones(1, 1, 1, 2), 0.5*ones(1, 4, 2, 2), "
          "mask=2*ones(1, 2, 2, 2))[0, 0]", 2, { 2, 2 }, { 10, 9.5, 8, 7 } },
        { "col2im(ones(1, 4, 4), [3, 3], [2, 2], [1, 1], [0, 0], [0, 0], [1, 1])[0, 0] + f32(0)",
          2, { 3, 3 }, { 1, 2, 1, 2, 4, 2, 1, 2, 1 } },
    };
    EXPECT(t);
}

static void spectra_and_products(void **state)
{
    (void)state;
    static const Said t[] = {
        { "f32(hann_window(4))", 1, { 4 }, { 0, 0.5, 1, 0.5 } },
        { "f32(hamming_window(3, periodic=false))", 1, { 3 }, { 4.0 / 46, 1, 4.0 / 46 } },
        { "f32(blackman_window(3, periodic=false))", 1, { 3 }, { 0, 1, 0 } },
        { "dft(reshape(f32(iota(4)), 4, 1), 0)", 2, { 4, 2 }, { 6, 0, -2, 2, -2, 0, -2, -2 } },
        { "dft(reshape(f32(iota(4)), 4, 1), 0, onesided=true)",
          2, { 3, 2 }, { 6, 0, -2, 2, -2, 0 } },
        { "dft(dft(reshape(f32(iota(4)), 4, 1), 0), 0, inverse=true)[:, 0]",
          1, { 4 }, { 0, 1, 2, 3 } },
        { "dft(dft(reshape(f32(iota(5)), 5, 1), 0, onesided=true), 0, length=5, inverse=true, "
          "onesided=true)", 2, { 5, 1 }, { 0, 1, 2, 3, 4 } },
        { "dft(reshape(f32(iota(2)), 2, 1), 0, length=4)",
          2, { 4, 2 }, { 1, 0, 0, -1, -1, 0, 0, 1 } },
        { "stft(reshape(f32(iota(4)), 1, 4, 1), 2, ones(2, dtype=f32))[0, :, :, 0]",
          2, { 2, 2 }, { 1, -1, 5, -1 } },
        { "stft(reshape(f32(iota(4)), 1, 4, 1), 1, ones(2), onesided=false)[0, 2, :, 0]",
          1, { 2 }, { 5, -1 } },
        /* edges at the bins 0, 0, 1, 3, 5 */
        { "transpose(mel_weights(3, 16, 8192, 0, 4096))[:, ..5]",
          2, { 3, 5 }, { 1, 0, 0, 0, 0, 0, 1, 0.5, 0, 0, 0, 0, 0.5, 1, 0.5 } },
        { "cumprod(x[1], 0)", 1, { 3 }, { 3, 12, 60 } },
        /* [[-7 -5] [-3 -1]] and [[1 3] [5 7]]; a row of zeros; a swap that changes the sign */
        { "det(reshape(f32(n), 2, 2, 2))", 1, { 2 }, { -8, -8 } },
        { "det(x[:, ..2]*0)", 0, { 0 }, { 0 } },
        { "det(flip(f32(eye_matrix(3, 3)), axis=0))", 0, { 0 }, { -1 } },
        { "cumprod(n, 0, exclusive=true, reverse=true)",
          1, { 8 }, { -1575, 315, -105, 105, 105, 35, 7, 1 } },
    };
    EXPECT(t);
}

static void senseless_arguments(void **state)
{
    (void)state;
    static const char *const conditions[] = {
        "resize(x, [2], [3])",
        "resize(x, [0], [3], mode=\"warped\")",
        "resize(x, [0], [3], scales=[0], mode=\"linear\")",
        "resize(x, [0], [3], scales=[1e-7], mode=\"linear\", antialias=true)",
        "grid_sample(reshape(x, 1, 1, 2, 3), zeros(1, 1, 1, 2), padding=\"no\")",
        "roi_align(reshape(x, 1, 1, 2, 3), ones(1, 4), i[0, 1..], 1, 1, 0)",
        "deform_conv(reshape(x, 1, 1, 2, 3), ones(1, 1, 1, 2), zeros(1, 2, 2, 2))",
        "depth_to_space(reshape(x, 1, 6, 1, 1), 1, mode=\"RCD\")",
        "center_crop_pad(x, [0], [])",
        "dft(x, 2)",
        "cumprod(x, -3)",
        "onehot_values(i, 3, v, v, axis=3)",
        "compress(x, n > 0, 2)",
        "unique(zeros(2, 5000, dtype=f32))",
    };
    expect_refused(conditions, sizeof conditions / sizeof *conditions, DIAG_E0339);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senseless_arguments),
        cmocka_unit_test(resized),
        cmocka_unit_test(sampled),
        cmocka_unit_test(spectra_and_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
