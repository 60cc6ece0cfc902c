/** What the ranks of a group send each other: counted in comm.h where it happens, predicted here from sizes alone.
 *
 * A sum over the ranks, G of them and G a power of two, is recursive doubling (Thakur, Rabenseifner and Gropp 2005,
 * "Optimization of collective communication operations in MPICH", allreduce): log₂ G exchanges of all n numbers with
 * the rank that is 1, 2, 4, … away, cut into messages of at most ES_MESSAGE_VALUES numbers. Both partners send at the
 * same time, and each level and each message waits for the one before. A message of b bytes takes
 *
 *   t(b) = α + b/β        (Hockney 1994, "The communication challenge for MPP")
 *   t(b) = 3α + b/β       above ES_MESSAGE_EAGER bytes: "ready to send", "go on", then the data (rendezvous)
 *
 * with latency α and bandwidth β, and a sum the total of its messages. What goes through MPI_Allreduce is taken to be
 * Rabenseifner's algorithm (ibid.): 2·log₂ G messages, 2(G−1)/G of the bytes, the fewest possible.
 *
 * Not in it: waiting for slower ranks, the additions, and ranks that share one port of a network. */
#ifndef EIGENSCOPE_TRAFFIC_H
#define EIGENSCOPE_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

enum {
  ES_MESSAGE_VALUES = 1 << 17, /**< most numbers in one message: far below INT_MAX, and still in the cache when added */
  ES_MESSAGE_VALUES_LEAST = 1024, /**< the same for a sum over lanes with one lane to a rank, which has no room to spare
                                   */
  ES_MESSAGE_EAGER = 65536        /**< Open MPI's btl_tcp_eager_limit (`ompi_info --param btl tcp --level 9`) */
};

/** A network between any two ranks. */
typedef struct es_link {
  double latency;   /**< α: seconds from send to receive of a small message */
  double bandwidth; /**< β: bytes per second in each direction */
} es_link_t;

/** Of one rank. */
typedef struct es_traffic {
  int64_t sums;     /**< sums over the ranks of the group */
  int64_t messages; /**< sent */
  int64_t bytes;    /**< sent */
  double seconds;   /**< counted: in sums and agreements, be it sending or waiting for slower ranks; predicted: of the
                       messages */
} es_traffic_t;

/** Counts one message sent; with a link (else NULL) also the time it takes. */
void es_traffic_message(es_traffic_t *traffic, int64_t bytes, const es_link_t *link);

/** Adds what es_ranks_sum_f32 and es_tree_sum_f64 (comm.h) over n numbers will send. `ranks`: a power of two ≤ lanes;
 * nothing is sent where it is 1. Not collective. */
void es_traffic_ranks_sum_f32(es_traffic_t *traffic, int ranks, int64_t n, const es_link_t *link);
void es_traffic_tree_sum_f64(es_traffic_t *traffic, int lanes, int ranks, int64_t n, const es_link_t *link);
/** The same of es_group_allreduce; any number of ranks. */
void es_traffic_allreduce(es_traffic_t *traffic, int ranks, int64_t bytes, const es_link_t *link);

#endif
