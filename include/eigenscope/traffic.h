/** Messages between the ranks of a group: comm.h counts them, this module predicts them from sizes.
 *
 * A sum of n bytes over the ranks, G of them and G a power of two (Thakur, Rabenseifner and Gropp 2005, "Optimization
 * of collective communication operations in MPICH", allreduce):
 *
 * Up to ES_MESSAGE_BYTES: recursive doubling, log₂ G exchanges of all n bytes with the rank that is 1, 2, 4, … away.
 *
 * Above: recursive halving, then doubling (Rabenseifner): log₂ G exchanges of n/2, n/4, … n/G bytes, after which each
 * rank has the total of its part, then n/G, … n/2 bytes to distribute the totals; 2(G−1)/G·n bytes, the fewest
 * possible.
 *
 * Partners send at the same time, and each exchange waits for the previous one. An exchange is cut into messages of
 * ES_MESSAGE_BYTES, which MPI sends eagerly (longer messages wait for a handshake), and ES_MESSAGES_WINDOW of them are
 * sent concurrently. So an exchange of b bytes takes (Hockney 1994, "The communication challenge for MPP"), with
 * latency α and bandwidth β,
 *
 *   ⌈b / window⌉·α + b/β
 *
 * MPI_Allreduce is modelled as Rabenseifner's algorithm with one message per exchange.
 *
 * The model ignores waiting for slower ranks, the additions, and ranks that share a network port. */
#ifndef EIGENSCOPE_TRAFFIC_H
#define EIGENSCOPE_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

enum {
  /** Below Open MPI's btl_tcp_eager_limit of 64 KiB with its header (`ompi_info --param btl tcp --level 9`). */
  ES_MESSAGE_BYTES = 60 << 10,
  ES_MESSAGES_WINDOW = 32
};

/** Network link between any two ranks. */
typedef struct es_link {
  double latency;   /**< α: seconds from send to receive of a small message */
  double bandwidth; /**< β: bytes per second in each direction */
} es_link_t;

/** Traffic of one rank. */
typedef struct es_traffic {
  int64_t sums;     /**< sums over the ranks of the group */
  int64_t messages; /**< sent */
  int64_t bytes;    /**< sent */
  double seconds; /**< counted: time in sums and es_agree, sending and waiting for slower ranks; predicted: time of the
                     messages */
} es_traffic_t;

/** Counts one message sent. */
void es_traffic_message(es_traffic_t *traffic, int64_t bytes);

/** Adds the messages that rank 0, which sends most, sends in es_ranks_sum_f32 or es_tree_sum_f64 (comm.h) over n
 * numbers, and their time if `link` is not NULL. `ranks`: a power of two ≤ lanes; 1 rank sends nothing. Not
 * collective. */
void es_traffic_ranks_sum_f32(es_traffic_t *traffic, int ranks, int64_t n, const es_link_t *link);
void es_traffic_tree_sum_f64(es_traffic_t *traffic, int lanes, int ranks, int64_t n, const es_link_t *link);
/** Adds the messages of es_group_allreduce_f64; any number of ranks. */
void es_traffic_allreduce(es_traffic_t *traffic, int ranks, int64_t bytes, const es_link_t *link);

#endif
