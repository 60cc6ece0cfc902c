/* Limits of memory cgroups, read from folders laid out like Linux's. */
#include "../../src/plan/plan_internal.h"
#include "eigenscope/file.h"
#include "support/files.h"
#include "support/unit.h"
#include <stdio.h>
#include <string.h>

static void put(const char *path, const char *text) {
  char folder_name[256];
  snprintf(folder_name, sizeof folder_name, "%.*s", (int)(strrchr(path, '/') - path), path);
  assert_ok(es_directory_create(folder_name, fresh()));
  file_write(path, text, strlen(text));
}

TEST_IN_FOLDER(no_limit) {
  assert_true(es_cgroup_available("missing", "mount") == INT64_MAX);
  put("./own", "12:pids:/a\n4:memory:/a\n0::/a\n");
  assert_true(es_cgroup_available("own", "mount") == INT64_MAX);
  put("mount/a/memory.max", "max\n");
  put("mount/a/memory.current", "1000\n");
  assert_true(es_cgroup_available("own", "mount") == INT64_MAX);
}

TEST_IN_FOLDER(version_2) {
  put("./own", "0::/job/step\n");
  put("mount/job/memory.max", "8000\n");
  put("mount/job/memory.current", "3000\n");
  assert_int_equal(es_cgroup_available("own", "mount"), 5000);
  put("mount/job/memory.stat", "anon 10\nfile 2000\ninactive_file 700\nactive_file 1300\n");
  assert_int_equal(es_cgroup_available("own", "mount"), 5700); /* cache that can be dropped is free */
  put("mount/job/step/memory.max", "2000\n");
  put("mount/job/step/memory.current", "500\n");
  assert_int_equal(es_cgroup_available("own", "mount"), 1500); /* the least of the cgroup and its parents */
  put("mount/job/step/memory.current", "2500\n");
  assert_int_equal(es_cgroup_available("own", "mount"), 0);
}

TEST_IN_FOLDER(version_1) {
  put("./own", "9:name=systemd:/x\n4:cpu,memory:/slurm/job\n3:cpuset:/\n0::/\n");
  put("mount/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("mount/memory/memory.usage_in_bytes", "4096\n");
  assert_true(es_cgroup_available("own", "mount") > INT64_MAX / 2);
  put("mount/memory/slurm/job/memory.limit_in_bytes", "8000\n");
  put("mount/memory/slurm/job/memory.usage_in_bytes", "3000\n");
  put("mount/memory/slurm/job/memory.stat", "inactive_file 5\ntotal_inactive_file 700\n");
  assert_int_equal(es_cgroup_available("own", "mount"), 5700);
}

/* In a container the path is that on the host, while the root of the mount is the container's own cgroup. */
TEST_IN_FOLDER(container) {
  put("./own", "4:memory:/docker/0123\n");
  put("mount/memory/memory.limit_in_bytes", "8000\n");
  put("mount/memory/memory.usage_in_bytes", "3000\n");
  assert_int_equal(es_cgroup_available("own", "mount"), 5000);
  put("./own", "0::/\n");
  put("mount/memory.max", "700\n");
  put("mount/memory.current", "300\n");
  assert_int_equal(es_cgroup_available("own", "mount"), 400);
}
