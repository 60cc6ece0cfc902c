/* Measurements after training steps (measure.steps): in the middle of an epoch the network runs over samples of the
 * eval split in inference mode, and the numbers of its layers go to the fields of group steps. The training does not
 * notice: it keeps its bits. */
#ifndef ES_PIPELINE_STEPPER_H
#define ES_PIPELINE_STEPPER_H

#include "source_network.h"

/* Creates the stepper of a point, and sets source->base.steps; *out is NULL if the point measures no steps. Needs the
 * samples and the graph of the source, which it borrows. Not collective; the caller then calls es_agree. */
es_code_t es_stepper_create(es_stepper_t **out, es_network_source_t *source, es_status_t *status);
void es_stepper_destroy(es_stepper_t *stepper);
/* Number of samples that each measurement evaluates; 0 for NULL. */
int64_t es_stepper_samples(const es_stepper_t *stepper);
/* Member `after_step` of es_trainer_setup_t; the context is the stepper. If the evaluation diverges, the step has no
 * loss, its layers are flagged as not finite, and training goes on. */
es_code_t es_stepper_after(void *stepper, int64_t step, es_status_t *status);
/* Moves the start of a training epoch, so that it leaves out time and traffic of the measurements since the last call.
 */
void es_stepper_exclude(es_stepper_t *stepper, es_timing_mark_t *mark);

/* Forecasts (forecast.h), 0 without steps. Bytes: −1 if memory is out. */
int64_t es_stepper_bytes(const es_forecast_t *forecast, int ranks);
double es_stepper_cost(const es_forecast_t *forecast);

#endif
