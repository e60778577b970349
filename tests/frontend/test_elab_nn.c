/* test_elab_nn.c: pooling, normalization, quantization, attention and the like against numbers
 * computed by plain loops elsewhere; and what they are written with: lists, shapes, ranges of axes.
 * x is sin(0.7 i), i counting its elements. */
#include "tests/frontend/elab_help.h"

static const struct {
    int elements;
    const char *dims, *call;
    int n;
    double want[32];
} calls[] = {
    { 14, "1, 2, 7", "max_pool(x, 3, stride=2)",
      6, { 0.9854497, 0.9854497, 0.3349882, 0.0168139, 0.9881682, 0.9881682 } },
    { 20, "1, 1, 4, 5",
      "max_pool(x, [2, 3], stride=[1, 2], low=[1, 0], high=[0, 2], dilation=[2, 1])",
      9, { -0.3507832, 0.0168139, 0.0168139, 0.9881682, 0.9854497, 0.3349882, -0.3507832,
           0.6695698, 0.6695698 } },
    { 12, "1, 1, 2, 3, 2", "max_pool(x, 2, stride=1)",
      2, { 0.9854497, 0.9881682 } },
    { 12, "1, 1, 3, 4", "avg_pool(x, 2, stride=1, pad=1)",
      20, { 0, 0.1610544, 0.4074169, 0.4621648, 0.2158023, 0.08374704, 0.1571057,
           0.1018271, -0.001342322, -0.02981081, -0.07406962, -0.157562, -0.1371396,
           -0.05221839, 0.001428905, -0.1578167, -0.1536132, 0.1684501, 0.4112887, 0.2470421 }
           },
    { 12, "1, 1, 3, 4", "avg_pool(x, 2, stride=1, pad=1, padded=false)",
      20, { 0, 0.3221088, 0.8148337, 0.9243295, 0.8632094, 0.1674941, 0.1571057,
           0.1018271, -0.001342322, -0.05962162, -0.1481392, -0.157562, -0.1371396,
           -0.05221839, 0.002857811, -0.6312666, -0.3072264, 0.3369002, 0.8225774, 0.9881682 }
           },
    { 12, "1, 1, 3, 4", "avg_pool(x, 2, low=[0, 1], extra=[1, 1])",
      6, { 0.08374704, 0.1018271, -0.05962162, -0.3156333, 0.3369002, 0.9881682 } },
    { 12, "1, 1, 3, 4", "lp_pool(x, [3, 2], p=3)",
      2, { 0.8432821, 1.64594 } },
    { 24, "2, 1, 3, 4", "max_pool_index(x, 2, stride=[1, 2])",
      8, { 1, 2, 4, 11, 12, 19, 20, 19 } },
    { 24, "2, 1, 3, 4", "max_pool_index(x, 2, stride=[1, 2], column_major=true)",
      8, { 3, 6, 1, 11, 12, 22, 14, 22 } },
    { 12, "2, 2, 3",
      "batch_norm(x, f32(iota(2) + 2), f32(1 - 2*iota(2)), batch_stats(x)[0], "
      "batch_stats(x)[1])",
      12, { 1.379575, 3.09431, 4.002578, 1.825464, -1.528561, -5.882975, -0.9403257,
           -1.23545, -0.3006873, -3.548859, 0.5160199, 2.61891 } },
    { 12, "2, 2, 3", "instance_norm(x, f32(iota(2) + 2), f32(1 - 2*iota(2)))",
      12, { -1.658882, 1.494336, 3.164546, 2.505392, -0.6830039, -4.822388, 0.4114642,
           -1.101025, 3.689561, -4.996857, -0.2336504, 2.230508 } },
    { 12, "2, 2, 3", "layer_norm(x, axis=1, scale=f32(iota(3)), bias=0.5)",
      12, { 0.5, 0.9888729, 2.919753, 0.5, 0.3354889, -2.727013, 0.5, -0.6197285,
           -0.8089831, 0.5, 1.552134, 3.48174 } },
    { 12, "2, 2, 3", "rms_norm(x, axis=1)",
      12, { 0, 1.025764, 1.569095, 1.374456, 0.5333891, -0.558539, -1.136011, -1.280527,
           -0.822792, 0.02191521, 0.8563154, 1.287977 } },
    { 12, "2, 2, 3", "moment_norm(x, axis=[0, 2])",
      12, { 0.1897893, 1.047164, 1.501302, 0.9418425, -0.1761908, -1.627695, -0.9701715,
           -1.117735, -0.6503494, -0.8496386, 0.5053513, 1.20633 } },
    { 8, "1, 4, 2", "group_norm(x, f32(iota(2)), f32(iota(2)), groups=2)",
      8, { 0, 0, 0, 0, 2.539959, 1.223905, 0.2244592, 0.01167704 } },
    { 8, "1, 4, 2", "group_norm(x, f32(iota(4)), f32(iota(4)), groups=2)",
      8, { 0, 0, 1.953165, 1.631504, 5.079918, 2.44781, 0.6733776, 0.03503112 } },
    { 8, "1, 4, 2", "local_norm(x, size=3, alpha=0.6, beta=0.5, bias=2)",
      8, { 0, 0.4312039, 0.6618878, 0.5746258, 0.2176627, -0.228018, -0.591069, -0.6597279 } },
    { 6, "2, 3", "hardmax(x)",
      6, { 0, 0, 1, 1, 0, 0 } },
    { 6, "2, 3", "hardmax(x, axis=0)",
      6, { 0, 1, 1, 1, 0, 0 } },
    { 6, "2, 3", "log_sum_exp(1000*x, axis=1)",
      2, { 985.4497, 863.2094 } },
    { 6, "2, 3", "log_sum_exp(x, axis=[0, 1])",
      1, { 2.308202 } },
    { 6, "1, 2, 3",
      "conv_transpose(x, reshape(f32(iota(4) + 1), 2, 1, 2), space=6, stride=2, low=1, "
      "high=1, dilation=3)",
      6, { 0, 1.649182, 3.452837, -0.06689995, 2.628388, 0 } },
    { 6, "2, 3", "nll_loss(log_softmax(x, axis=1), iota(2) + 1)",
      1, { 1.462201 } },
    { 6, "2, 3", "nll_loss(x, iota(2) + 1, weight=f32(iota(3) + 1))",
      1, { -0.04721714 } },
    { 6, "2, 3", "nll_loss(x, iota(2) - 5, ignore=-5, reduce=\"none\")",
      2, { 0, 0 } },
    { 6, "2, 3", "nll_loss(x, 2*iota(2) - 1, ignore=-1)",
      1, { -0.3349882 } },
    { 8, "1, 2, 2, 2", "nll_loss(x, reshape(iota(4), 1, 2, 2) % 2, reduce=\"sum\")",
      1, { 0.3477861 } },
    { 6, "6", "quantize_linear(x, f32(0.01), i8(3))",
      6, { 3, 67, 102, 89, 36, -32 } },
    { 6, "6", "dequantize_linear(quantize_linear(x, f32(0.01), i8(3)), f32(0.01), i8(3))",
      6, { 0, 0.64, 0.99, 0.86, 0.33, -0.35 } },
    { 6, "2, 3",
      "dequantize_linear(i8(10*reshape(iota(6), 2, 3)), f32(iota(2) + 1), i8(iota(2)), axis=0)",
      6, { 0, 10, 20, 58, 78, 98 } },
    { 6, "2, 3",
      "dequantize_linear(u8(reshape(iota(6), 2, 3)), f32(reshape(iota(4) + 1, 2, 2)), "
      "u8(reshape(iota(4), 2, 2)), block=2)",
      6, { 0, 1, 2, 3, 6, 8 } },
    { 6, "6", "quantize_dynamic(x)[0]",
      6, { 67, 190, 255, 232, 131, 0 } },
    { 6, "6", "quantize_dynamic(x)[1]",
      1, { 0.005240129 } },
    { 6, "6", "quantize_dynamic(x)[2]",
      1, { 67 } },
    { 6, "6",
      "matmul_integer(u8(reshape(iota(6), 2, 3)), i8(reshape(iota(3), 3, 1)), u8(iota(2)), "
      "i8(1))",
      2, { 2, 2 } },
    { 6, "6",
      "conv_integer(u8(reshape(iota(3), 1, 1, 3)), i8(ones(1, 1, 2)), u8(1), i8(3), low=1)",
      3, { 2, 2, -2 } },
    { 6, "6", "requantize(iota(4)*3 - 4, f32(0.5), u8(1))",
      4, { 0, 1, 2, 3 } },
    { 8, "1, 2, 2, 2", "grouped_attention(x, x[:, ..1], x[:, ..1], keep=causal_from(2, 2))[0]",
      8, { 0, 0.6442177, 0.6842077, 0.7962658, 0, 0.6442177, 0.3141248, 0.7140241 } },
    { 4, "1, 1, 1, 4", "rotary_tables(x, full(0.6, 1, 1, 1), full(0.8, 1, 1, 1))",
      4, { -0.5153741, 0.3865306, 0.9854497, 0.8632094 } },
    { 4, "1, 1, 1, 4", "rotary_tables(x, full(0.6, 1, 1, 2), full(0.8, 1, 1, 2))",
      4, { -0.7883598, -0.3040369, 0.5912698, 1.0333 } },
    { 4, "1, 1, 1, 4",
      "rotary_tables(x, full(0.6, 1, 1, 2), full(0.8, 1, 1, 2), interleaved=true)",
      4, { -0.5153741, 0.3865306, -0.09929766, 1.306285 } },
    { 9, "3, 3", "einsum(\"i i -> i\", x)",
      3, { 0, 0.3349882, -0.6312666 } },
    { 9, "3, 3", "einsum(\"i i -> \", x)",
      1, { -0.2962785 } },
    { 18, "2, 3, 3", "einsum(\"... i i -> ... i\", x)",
      6, { 0, 0.3349882, -0.6312666, 0.0168139, 0.3190984, -0.6181371 } },
    { 18, "2, 3, 3", "einsum(\"... i j -> ... j i\", x)",
      18, { 0, 0.8632094, -0.8715758, 0.6442177, 0.3349882, -0.9824526, 0.9854497, -0.3507832,
          -0.6312666, 0.0168139, 0.8545989, -0.8796958, 0.6569866, 0.3190984, -0.9791777,
          0.9881682, -0.3664791, -0.6181371 } },
    { 18, "2, 3, 3", "einsum(\"i j j, j j k -> i k\", x, reshape(x, 3, 3, 2))",
      4, { 0.4066554, 0.3958418, 0.4038299, 0.3982906 } },
    { 18, "2, 3, 3", "einsum(\"... i j, ... j k -> ... i k\", x[..1], x)",
      18, { -0.3027994, -0.7523524, -0.8480623, 0.5948991, 1.01294, 0.954579, -0.2978656,
          -0.270405, -0.1157686, -0.3163482, -0.7593616, -0.8452354, 0.6093769, 1.01749,
          0.947062, -0.2989349, -0.2679904, -0.1110058 } },
    { 18, "2, 3, 3", "einsum(\"... i, i -> ...\", x, x[0, 0])",
      6, { 1.386128, -0.1298739, -1.254995, 1.397033, -0.1555779, -1.239947 } },
    { 18, "2, 3, 3", "einsum(\"... i, ... i -> i\", x, x)",
      3, { 3.009261, 2.984691, 2.985535 } },
    { 18, "2, 3, 3", "det(x)",
      2, { -3.116865e-17, -9.350596e-17 } },
    { 16, "4, 4",
      "det(x + select(unsqueeze(iota(4)) == iota(4), f32(iota(4) % 2*(iota(4) + 1)//2), 0))",
      1, { 1.244163 } },
    { 4, "2, 2", "det(0*x)",
      1, { 0 } },
    { 3, "3", "det(reshape(x[0], 1, 1))",
      1, { 0 } },
    { 2, "2",
      "adam_step(x, x + 1, full(0.1, 2), full(0.3, 2), 0.1, 0, beta=0.8, eps=0.01, norm=0.5, "
      "after=0.25)[0]",
      2, { -0.02116363, 0.4620173 } },
    { 2, "2",
      "adam_step(x, x + 1, full(0.1, 2), full(0.3, 2), 0.1, 0, beta=0.8, eps=0.01, norm=0.5, "
      "after=0.25)[1]",
      2, { 0.19, 0.2866327 } },
    { 2, "2",
      "adam_step(x, x + 1, full(0.1, 2), full(0.3, 2), 0.1, 0, beta=0.8, eps=0.01, norm=0.5, "
      "after=0.25)[2]",
      2, { 0.44, 1.013288 } },
    { 2, "2",
      "adam_step(x, x + 1, full(0.1, 2), full(0.3, 2), 0.1, 3, beta=0.8, eps=0.01, norm=0.5, "
      "after=0.25)[0]",
      2, { -0.05455452, 0.4286543 } },
    { 2, "2",
      "adam_step(x, x + 1, full(0.1, 2), full(0.3, 2), 0.1, 3, beta=0.8, eps=0.01, norm=0.5, "
      "after=0.25)[1]",
      2, { 0.19, 0.2866327 } },
    { 2, "2",
      "adam_step(x, x + 1, full(0.1, 2), full(0.3, 2), 0.1, 3, beta=0.8, eps=0.01, norm=0.5, "
      "after=0.25)[2]",
      2, { 0.44, 1.013288 } },
    { 2, "2", "adagrad_step(x, x + 1, full(0.3, 2), 0.1, 3, decay=0.5, eps=0.01, norm=0.5)[0]",
      2, { -0.0347773, 0.6058725 } },
    { 2, "2", "adagrad_step(x, x + 1, full(0.3, 2), 0.1, 3, norm=0.5)[1]",
      2, { 1.3, 4.16644 } },
    { 2, "2", "momentum_step(x, x + 1, full(0.3, 2), 0.1, 0, 0.9, 0.7, norm=0.5)[0]",
      2, { -0.127, 0.420585 } },
    { 2, "2",
      "momentum_step(x, x + 1, full(0.3, 2), 0.1, 0, 0.9, 0.7, norm=0.5, nesterov=true)[0]",
      2, { -0.2143, 0.2463156 } },
    { 2, "2", "momentum_step(x, x + 1, full(0.3, 2), 0.1, 3, 0.9, 0.7, norm=0.5)[0]",
      2, { -0.097, 0.4795748 } },
    { 2, "2",
      "momentum_step(x, x + 1, full(0.3, 2), 0.1, 3, 0.9, 0.7, norm=0.5, nesterov=true)[0]",
      2, { -0.1873, 0.2994065 } },
    { 2, "2", "momentum_step(x, x + 1, full(0.3, 2), 0.1, 3, 0.9, 0.7, norm=0.5)[1]",
      2, { 0.97, 1.646429 } },
};

static void functions_are_their_formulas(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "model M { export fn f() { x = reshape(sin(0.7*f32(iota(%d))), %s); %s } }\n",
                 calls[i].elements, calls[i].dims, calls[i].call);
        Model m = model_load(text, NULL);
        Value *y = model_run(&m, "f", NULL, 1, NULL);
        expect_numbers(y, calls[i].want, calls[i].n, 2e-5);
        model_free(&m);
    }
}

static void expect_scalar(const char *body, double want)
{
    char text[512];
    snprintf(text, sizeof text, "model M { export fn f(x: f32[2, 3, 4]) -> f32 { %s } }\n", body);
    Model m = model_load(text, NULL);
    double none[24] = { 0 };
    Value x = model_input(&m, "f", 0, 1, none);
    expect_numbers(model_run(&m, "f", &x, 1, NULL), &want, 1, 1e-6);
    model_free(&m);
}

static void lists_and_shapes(void **state)
{
    (void)state;
    expect_scalar("f32(rank(x))", 3);
    expect_scalar("f32(shape(x)[0] + 10*shape(x)[-1])", 42);
    expect_scalar("l = [1]*2 + [5]; f32(len(l) + 10*l[2])", 53);
    expect_scalar("l = shape(x)[1..]; f32(len(l) + 10*l[0])", 32);
    expect_scalar("l = 3*[1, 2] + []; f32(len(l) + 10*l[3])", 26);
    expect_scalar("f32(len([4]*0))", 0);
    expect_scalar("sum(mean(x + 1, axis=1..))", 2);
    expect_scalar("y = sum(x + 1, axis=..2); y[0]", 6);
    expect_scalar("y = sum(x + 1, axis=-2..); y[0]", 12);
    expect_scalar("y = sum(x + 1, axis=0..-1, keep=true); f32(rank(y))", 3);
}

static void expect_message(const char *body, const char *words)
{
    char text[512];
    Compiler *cx = compiler_new();
    snprintf(text, sizeof text, "model M { export fn f(x: f32[2, 3, 4]) { %s } }\n", body);
    if (frontend_load_text(cx, "test.dl", text, strlen(text), NULL))
        fail_msg("accepted: %s", body);
    if (!strstr(cx->diags.at[0].message, words))
        fail_msg("expected `%s` in: %s", words, cx->diags.at[0].message);
    compiler_free(cx);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    expect_message("sum(x, axis=4..)", "the axes 4..3 of a tensor of rank 3");
    expect_message("sum(x, axis=..9)", "the axes 0..9 of a tensor of rank 3");
    expect_message("sum(x, axis=0.5..)", "must be a whole number");
    expect_message("l = [1]*1e9; x*l[0]", "a list of more than 65536 elements");
    expect_message("l = [1]; repeat i in 40 { l = l + l }; x*l[0]", "a list of more than");
    expect_message("l = [1]*x; x", "how often a list is repeated");
    expect_message("l = [1]*0.5; x", "how often a list is repeated must be a whole number");
    expect_message("shape(x)[2..7]", "the slice 2..7 of an axis with 3 elements");
    expect_message("einsum(\"i j j -> i\", x)", "`j` is 4 here and 3 before");
    expect_message("einsum(\"i ... j ... -> i\", x)", "`...` stands twice");
    expect_message("einsum(\"... a b c d -> a\", x)", "operand 1 has 4 axes in the pattern");
    expect_message("einsum(\"... i, ... i -> ...\", x, ones(5, 4))",
                   "`...` is 5 here and 3 before");
    expect_message("einsum(\"... i -> ... i i\", x)", "`i` stands twice");
    expect_message("max_pool(x, [1, 2])", "this condition does not hold");
    expect_message("conv_transpose(x, ones(4, 1, 2), space=9, stride=1, low=0, high=0, dilation=1)",
                   "the weights' first axis");
    expect_message("conv_transpose(x, ones(3, 1, 2), space=2, stride=2, low=0, high=0, dilation=1)",
                   "go past the 2 of the result");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_their_formulas),
        cmocka_unit_test(lists_and_shapes),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
