/* Parses --interconnect. */
#include "plan_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Latency of a small message and bandwidth of large ones, as measured through MPI. */
static const struct {
  const char *name;
  es_link_t link;
  const char *source;
} known[] = {
    {"shared-memory",
     {0.5e-6, 5.6e9},
     "measured: Open MPI 4.1 between two cores of a Xeon (Emerald Rapids), copied twice as in a container"},
    {"ethernet-1g",
     {25e-6, 0.94e9 / 8},
     "TCP: 24.6-26.3 us and 116-118 MB/s by osu_latency and osu_bw (gist.github.com/jfgrimm, 2021)"},
    {"ethernet-10g",
     {20e-6, 9.4e9 / 8},
     "TCP: 20 us (Hurwitz and Feng, Hot Interconnects 2003); the link rate less the headers of 1500-byte frames"},
    {"infiniband-hdr", {1.2e-6, 192e9 / 8}, "MPI on Azure HBv3: 1.2 us, 192 Gbit/s (docs.azure.cn, hbv3-performance)"},
};
enum { N_KNOWN = sizeof known / sizeof *known };

typedef struct unit {
  const char *name;
  double factor;
} unit_t;

static const unit_t times[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"µs", 1e-6}, {"ns", 1e-9}, {NULL, 0}};
static const unit_t rates[] = {{"kbit/s", 1e3 / 8},
                               {"Mbit/s", 1e6 / 8},
                               {"Gbit/s", 1e9 / 8},
                               {"kB/s", 1e3},
                               {"MB/s", 1e6},
                               {"GB/s", 1e9},
                               {NULL, 0}};

/* Reads a number above 0 with a unit, as "20us" or "9.4 Gbit/s". */
static bool read_quantity(const char *text, const unit_t *units, double *out) {
  char number[32];
  const size_t length = strspn(text, "0123456789.e+-");
  const char *unit = text + length + strspn(text + length, " ");
  if (length >= sizeof number) return false;
  snprintf(number, sizeof number, "%.*s", (int)length, text);
  if (!es_text_to_double(number, out) || !(*out > 0)) return false;
  while (units->name && strcmp(units->name, unit) != 0) units++;
  *out *= units->factor;
  return units->name != NULL;
}

static es_code_t refuse(const char *text, es_status_t *status) {
  char names[256] = "";
  for (int i = 0; i < N_KNOWN; i++) {
    const size_t length = strlen(names);
    snprintf(names + length, sizeof names - length, "%s%s", i > 0 ? ", " : "", known[i].name);
  }
  return es_fail(status, ES_INPUT, "plan",
                 "--interconnect %.60s: must be %s, or LATENCY,BANDWIDTH as 20us,10Gbit/s (s, ms, us, ns; kbit/s, "
                 "Mbit/s, Gbit/s, kB/s, MB/s, GB/s), optionally followed by ,rate=GFLOP/s of a core",
                 text, names);
}

es_code_t es_interconnect_parse(es_interconnect_t *out, const char *text, es_status_t *status) {
  char words[sizeof out->name];
  *out = (es_interconnect_t){.source = "as given", .rate = es_core_rate};
  if (strlen(text) >= sizeof out->name) return refuse(text, status);
  snprintf(out->name, sizeof out->name, "%s", text);
  char *rate = strstr(out->name, ",rate=");
  if (rate) {
    *rate = '\0';
    if (!es_text_to_double(rate + strlen(",rate="), &out->rate) || !(out->rate > 0)) return refuse(text, status);
    out->rate *= 1e9;
  }
  for (int i = 0; i < N_KNOWN; i++) {
    if (strcmp(known[i].name, out->name) != 0) continue;
    out->link = known[i].link;
    out->source = known[i].source;
    return ES_OK;
  }
  memcpy(words, out->name, sizeof words);
  char *comma = strchr(words, ',');
  if (!comma) return refuse(text, status);
  *comma = '\0';
  if (read_quantity(words, times, &out->link.latency) && read_quantity(comma + 1, rates, &out->link.bandwidth))
    return ES_OK;
  return refuse(text, status);
}
