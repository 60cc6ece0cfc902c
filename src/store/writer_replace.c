#include "disk.h"
#include "eigenscope/file.h"
#include "writer.h"

static es_code_t write_part(es_writer_t *writer, es_disk_t *disk, int descriptor, void (*put)(void *), void *context) {
  writer->reason = &disk->reason;
  hid_t access = es_writer_check(writer, es_disk_open(disk, descriptor), "the access list");
  es_writer_open(writer, "/dev/null/part", access);
  if (writer->code == ES_OK) put(context);
  es_writer_release(writer);
  if (writer->file >= 0 && H5Fclose(writer->file) < 0) es_writer_check(writer, -1, "closing the file");
  es_writer_check(writer, 0, "the end"); /* reports the last failure of the disk */
  es_hdf5_close(&access);
  es_disk_close(disk);
  writer->reason = NULL;
  return writer->code;
}

es_code_t es_writer_replace(es_writer_t *writer, const char *path, void (*put)(void *), void *context,
                            es_status_t *status) {
  ES_HDF5_QUIET;
  es_file_part_t part;
  es_disk_t disk;
  es_file_remove_parts(path);
  ES_TRY(es_file_part_open(&part, path, status));
  es_writer_begin(writer, part.path, status);
  const es_code_t code = write_part(writer, &disk, part.descriptor, put, context);
  if (code == ES_OK) return es_file_part_commit(&part, status);
  es_file_part_discard(&part);
  return code;
}
