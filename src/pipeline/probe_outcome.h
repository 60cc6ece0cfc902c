/* Marks of the tail, and warnings, from the probes of one epoch. */
#ifndef ES_PIPELINE_PROBE_OUTCOME_H
#define ES_PIPELINE_PROBE_OUTCOME_H

#include "probe_target.h"

/* Marks the layers of the tail, by the probes at this index on the axis of probe epochs. A layer is in the tail if
 * neither it nor any later layer exceeds the best accuracy before the layer by probe.tail or more, and all later layers
 * are in the tail too. */
void es_probe_mark_tail(const es_context_t *c, int64_t at);
/* Warns of the layers that have no probe, and of the probes that have not converged. `epoch`: index of the measured
 * epoch. */
void es_probe_warn(const es_probe_target_t *target, int32_t epoch, int64_t at);

#endif
