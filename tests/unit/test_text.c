#include "eigenscope/random.h"
#include "eigenscope/text.h"
#include "support/unit.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TEST(append_grows) {
  es_text_t text = {0};
  assert_string_equal(es_text_get(&text), "");
  for (int i = 0; i < 1000; i++) es_text_append(&text, "%d,", i);
  assert_int_equal(text.length, 10 * 2 + 90 * 3 + 900 * 4);
  assert_int_equal(strlen(es_text_get(&text)), text.length);
  assert_memory_equal(es_text_get(&text), "0,1,2,", 6);
  assert_string_equal(es_text_get(&text) + text.length - 8, "998,999,");
  assert_false(text.failed);
  es_text_destroy(&text);
  assert_string_equal(es_text_get(&text), "");
}

TEST(append_at_the_edge_of_capacity) {
  for (int length = 0; length < 200; length++) {
    es_text_t text = {0};
    es_text_append(&text, "%*s", length, "");
    es_text_append(&text, "end");
    assert_int_equal(text.length, length + 3);
    assert_string_equal(es_text_get(&text) + length, "end");
    es_text_destroy(&text);
  }
}

TEST(failed_text_stays_cut) {
  es_text_t text = {0};
  es_text_append(&text, "kept");
  text.failed = true;
  es_text_append(&text, " lost");
  es_text_append_quoted(&text, "lost");
  assert_string_equal(es_text_get(&text), "kept");
  es_text_destroy(&text);
}

static void check_quoted(const char *value, const char *expected) {
  es_text_t text = {0};
  es_text_append(&text, "x: ");
  es_text_append_quoted(&text, value);
  assert_string_equal(es_text_get(&text) + 3, expected);
  assert_int_equal(text.length, strlen(expected) + 3);
  es_text_destroy(&text);
}

TEST(quoted) {
  check_quoted("", "\"\"");
  check_quoted("plain", "\"plain\"");
  check_quoted("a\"b\\c", "\"a\\\"b\\\\c\"");
  check_quoted("\n\r\t\b\f", "\"\\n\\r\\t\\b\\f\"");
  check_quoted("\x01x\x1f\x7f", "\"\\u0001x\\u001f\\u007f\"");
  check_quoted("λ₁ ≥ δ", "\"λ₁ ≥ δ\"");
  check_quoted("a\xc2\x9b"
               "31mb\u202ec",
               "\"a\\u009b31mb\\u202ec\"");
  check_quoted("\xff\xc3", "\"\\ufffd\\ufffd\"");
}

/* Characters that a terminal would obey, or show as other characters. */
TEST(plain) {
  static const char *const cases[][2] = {
      {"", ""},
      {"λ₁ ≥ δ, 𝛿, \u00a0", "λ₁ ≥ δ, 𝛿, \u00a0"},
      {"a\nb\x1b[31mc\x7f", "a?b?[31mc?"},
      {"csi \xc2\x9b"
       "31m, nel \xc2\x85",
       "csi ?31m, nel ?"},
      {"\u202egnp.exe\u202c \u2066x\u2069 \u2028", "?gnp.exe? ?x? ?"},
      {"\xff\xc0\x80 \xe2\x80", "??? ??"},                                 /* not UTF-8, or truncated */
      {"\xed\xa0\x80 \xf4\x90\x80\x80 \xf0\x80\x80\xaf", "??? ???? ????"}, /* surrogate, beyond, overlong */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[64];
    snprintf(text, sizeof text, "%s", cases[i][0]);
    assert_int_equal(es_text_is_plain(text), strcmp(cases[i][0], cases[i][1]) == 0);
    assert_ptr_equal(es_text_make_plain(text), text);
    assert_string_equal(text, cases[i][1]);
    assert_true(es_text_is_plain(text));
  }
}

static void check_double(double value, const char *expected) {
  char out[32];
  assert_ptr_equal(es_text_double(value, out), out);
  assert_string_equal(out, expected);
}

TEST(double_is_short) {
  check_double(0, "0");
  check_double(-0.0, "-0");
  check_double(1, "1");
  check_double(-12.5, "-12.5");
  check_double(0.1, "0.1");
  check_double(0.0625, "0.0625");
  check_double(5e-4, "0.0005");
  check_double(1e-6, "0.000001");
  check_double(9.5e-7, "9.5e-07");
  check_double(-1e-7, "-1.0e-07");
  check_double(100, "100");
  check_double(120, "120");
  check_double(1234567.875, "1234567.875");
  check_double(9999999999999998.0, "9999999999999998");
  check_double(1e16, "1.0e+16");
  check_double(1.0 / 3, "0.3333333333333333");
  check_double(0.1 + 0.2, "0.30000000000000004");
  check_double(DBL_MAX, "1.7976931348623157e+308");
  check_double(-DBL_MIN, "-2.2250738585072014e-308");
  check_double(4.9406564584124654e-324, "5.0e-324");
  check_double((double)NAN, "nan");
  check_double((double)INFINITY, "inf");
  check_double((double)-INFINITY, "-inf");
}

TEST(double_reads_back) {
  for (uint64_t i = 0; i < 20000; i++) {
    uint32_t words[4];
    es_random_block(1, ES_RANDOM_TEST, 7, i, words);
    uint64_t bits = (uint64_t)words[1] << 32 | words[0];
    double values[2];
    memcpy(&values[0], &bits, sizeof bits); /* any exponent */
    values[1] = ldexp((double)words[2], (int)(words[3] % 80) - 60);
    for (int j = 0; j < 2; j++) {
      if (!isfinite(values[j])) continue;
      char out[32];
      double back;
      assert_true(es_text_to_double(es_text_double(values[j], out), &back));
      assert_memory_equal(&back, &values[j], sizeof back);
      assert_true((strchr(out, 'e') == NULL) == (fabs(values[j]) >= 1e-6 && fabs(values[j]) < 1e16) || values[j] == 0);
    }
  }
}

TEST(to_int) {
  int64_t value = 77;
  const char *wrong[] = {"", " 1", "1 ", "1.0", "0x10", "1e3", "-", "+", "--1", "9223372036854775808", "one", "1,"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_false(es_text_to_int(wrong[i], &value));
  assert_int_equal(value, 77);
  assert_true(es_text_to_int("0", &value) && value == 0);
  assert_true(es_text_to_int("-12", &value) && value == -12);
  assert_true(es_text_to_int("+12", &value) && value == 12);
  assert_true(es_text_to_int("010", &value) && value == 10);
  assert_true(es_text_to_int("9223372036854775807", &value) && value == INT64_MAX);
  assert_true(es_text_to_int("-9223372036854775808", &value) && value == INT64_MIN);
}

TEST(to_double) {
  double value = 77;
  const char *wrong[] = {"", " 1", "1 ", "1.0.0", "0x10", "nan", "inf", "-inf", "e", ".", "1e", "1e400", "1/16", "-"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_false(es_text_to_double(wrong[i], &value));
  assert_true(value == 77);
  assert_true(es_text_to_double("0.1", &value) && value == 0.1);
  assert_true(es_text_to_double("-5.0e-4", &value) && value == -5e-4);
  assert_true(es_text_to_double("3", &value) && value == 3);
  assert_true(es_text_to_double(".5", &value) && value == 0.5);
  assert_true(es_text_to_double("1E+2", &value) && value == 100);
  assert_true(es_text_to_double("1e-320", &value) && value > 0);
}

TEST(match) {
  assert_true(es_text_match("*", "features.0"));
  assert_true(es_text_match("*", ""));
  assert_true(es_text_match("", ""));
  assert_true(es_text_match("features.*", "features.0"));
  assert_true(es_text_match("*.conv1", "layer1.0.conv1"));
  assert_true(es_text_match("layer?.*.conv?", "layer4.1.conv2"));
  assert_true(es_text_match("a*b*c", "aXbYbZc"));
  assert_true(es_text_match("a**", "a"));
  assert_false(es_text_match("", "x"));
  assert_false(es_text_match("?", ""));
  assert_false(es_text_match("features", "features.0"));
  assert_false(es_text_match("features.?", "features.10"));
  assert_false(es_text_match("*.conv1", "layer1.0.conv2"));
  assert_false(es_text_match("a*b*c", "aXbYbZ"));
  assert_false(es_text_match("[a]", "a"));
}

TEST(columns) {
  static const struct {
    const char *text;
    int columns, room;
    const char *cut;
  } rows[] = {{"", 0, 5, ""},
              {"abcdef", 6, 6, "abcdef"},
              {"abcdef", 6, 5, "ab..."},
              {"abcdef", 6, 3, "abc"},
              {"abcdef", 6, 0, ""},
              {"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4", 5, 4, "\xc3\xa4..."},
              {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 6, 5, "\xe6\xbc\xa2..."}, /* two columns each */
              {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 6, 4, "..."},
              {"e\xcc\x81x", 2, 2, "e\xcc\x81x"}, /* a combining accent has no column */
              {"\xff\xfe", 2, 1, "\xff"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[64];
    snprintf(text, sizeof text, "%s", rows[i].text);
    assert_int_equal(es_text_columns(text), rows[i].columns);
    es_text_cut(text, rows[i].room);
    assert_string_equal(text, rows[i].cut);
  }
}

TEST(ratio) {
  static const struct {
    double value;
    const char *text;
  } rows[] = {{0.0625, "1/16"}, {1.0 / 3, "1/3"}, {1, "1"},   {1.5, "3/2"}, {0.3, "3/10"},
              {16, "16"},       {0, "0"},         {-1, "-1"}, {NAN, "nan"}, {0.1234567, "0.1234567"}};
  char out[32];
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_string_equal(es_text_ratio(rows[i].value, out), rows[i].text);
}

TEST(nearest) {
  static const char *const keys[] = {"epochs", "batch", "learning_rate", "momentum", "every"};
  assert_string_equal(es_text_nearest("epoch", keys, 5), "epochs");
  assert_string_equal(es_text_nearest("bacth", keys, 5), "batch");
  assert_string_equal(es_text_nearest("learning-rate", keys, 5), "learning_rate");
  assert_string_equal(es_text_nearest("momentum", keys, 5), "momentum");
  assert_null(es_text_nearest("ever_so_far", keys, 5));
  assert_null(es_text_nearest("batches_", keys, 5));
  assert_null(es_text_nearest("epoch", keys, 0));
  static const char *const models[] = {"vgg11", "vgg16", "resnet18"};
  assert_string_equal(es_text_nearest("VGG16", models, 3), "vgg16");
  assert_string_equal(es_text_nearest("ResNet-18", models, 3), "resnet18");
  assert_true(es_text_is_same_word("Learning-Rate", "learning_rate") && es_text_is_same_word("a_", "A"));
  assert_false(es_text_is_same_word("lr", "l") || es_text_is_same_word("a", "b"));
  static const char *const deltas[] = {"lr", "to"};
  assert_null(es_text_nearest("xy", deltas, 2)); /* two letters, both wrong, are not near */
  assert_string_equal(es_text_nearest("tp", deltas, 2), "to");
  char word[200];
  memset(word, 'w', sizeof word - 1);
  word[sizeof word - 1] = '\0';
  const char *const giant[] = {word};
  assert_null(es_text_nearest(word, giant, 1));
}

TEST(bytes) {
  assert_string_equal(es_bytes(0).text, "0 bytes");
  assert_string_equal(es_bytes(1023).text, "1023 bytes");
  assert_string_equal(es_bytes(1024).text, "1.0 KiB");
  assert_string_equal(es_bytes(60 * 1000 * 1000).text, "57.2 MiB");
  assert_string_equal(es_bytes((int64_t)7 << 29).text, "3.5 GiB");
  assert_string_equal(es_bytes(INT64_MAX).text, "8.0 EiB");
}
