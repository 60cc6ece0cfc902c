/* Links a job, its grid and its networks without code that runs them: tests/rooms.sh checks the needed libraries. */
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include <stdio.h>
#include <string.h>

int main(void) {
  static const char text[] = "{name: links, grid: {dataset: fashion-mnist, model: resnet18, classes: 10}}";
  es_status_t status = {0};
  es_job_t *job = NULL;
  es_grid_t *grid = NULL;
  es_graph_t *graph = NULL;
  es_point_t point;
  if (es_job_parse(&job, text, strlen(text), "links.yaml", NULL, 0, &status) == ES_OK &&
      es_grid_create(&grid, job, &status) == ES_OK) {
    es_grid_point(grid, 0, &point);
    es_graph_create(&graph, &point, &status);
  }
  printf("%s\n", graph ? es_grid_id(grid, 0) : status.message);
  es_graph_destroy(graph);
  es_grid_destroy(grid);
  es_job_destroy(job);
  return status.code != ES_OK;
}
