#include "eigenscope/file.h"
#include "eigenscope/text.h"
#include "support/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Faults: these definitions replace libc's. Calls that are not armed go to the kernel as usual. */
typedef enum call { CALL_NONE, CALL_OPEN, CALL_WRITE, CALL_FSYNC, CALL_CLOSE, CALL_RENAME } call_t;
static struct {
  call_t call;      /* call that fails */
  int reason;       /* its errno */
  int after;        /* successful calls before */
  int times;        /* failures before it works again; −1: for ever */
  size_t write_cap; /* most bytes per write; 0: all */
} fault;
#define INTERPOSED __attribute__((visibility("default")))

static int fails(call_t call) {
  if (fault.call != call || fault.times == 0) return 0;
  if (fault.after > 0) {
    fault.after--;
    return 0;
  }
  if (fault.times > 0) fault.times--;
  errno = fault.reason;
  return 1;
}

INTERPOSED int open(const char *path, int flags, ...) {
  if ((flags & O_CREAT) != 0 && fails(CALL_OPEN)) return -1;
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
}

INTERPOSED ssize_t write(int descriptor, const void *data, size_t size) {
  if (descriptor <= 2) return syscall(SYS_write, descriptor, data, size);
  if (fails(CALL_WRITE)) return -1;
  if (fault.write_cap > 0 && size > fault.write_cap) size = fault.write_cap;
  return syscall(SYS_write, descriptor, data, size);
}

INTERPOSED int fsync(int descriptor) {
  return fails(CALL_FSYNC) ? -1 : (int)syscall(SYS_fsync, descriptor);
}

INTERPOSED int close(int descriptor) {
  long done = syscall(SYS_close, descriptor);
  return fails(CALL_CLOSE) ? -1 : (int)done;
}

INTERPOSED int rename(const char *from, const char *to) {
  return fails(CALL_RENAME) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void set_up(void) {
  memset(&fault, 0, sizeof fault);
  enter_folder();
}

static void check_content(const char *path, const void *expected, size_t n) {
  char *data;
  size_t size;
  assert_ok(es_file_read(path, &data, &size, fresh()));
  assert_int_equal(size, n);
  assert_memory_equal(data, expected, n);
  assert_int_equal(data[n], '\0');
  es_free(data);
}

TEST_WITH(set_up, leave_folder, write_then_read) {
  assert_ok(es_file_write_atomic("empty", "", 0, fresh()));
  check_content("empty", "", 0);
  assert_ok(es_file_write_atomic("a", "one\0two", 7, fresh()));
  check_content("a", "one\0two", 7);
  assert_ok(es_file_write_atomic("a", "three", 5, fresh()));
  check_content("a", "three", 5);
  char path[300];
  snprintf(path, sizeof path, "%s/absolute", folder);
  assert_ok(es_file_write_atomic(path, "x", 1, fresh()));
  check_content("absolute", "x", 1);
  assert_int_equal(folder_count(), 3);
}

TEST_WITH(set_up, leave_folder, short_and_interrupted_writes) {
  char data[1000];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
  fault.write_cap = 37;
  fault.call = CALL_WRITE;
  fault.reason = EINTR;
  fault.after = 3;
  fault.times = 2;
  assert_ok(es_file_write_atomic("a", data, sizeof data, fresh()));
  assert_int_equal(fault.times, 0);
  check_content("a", data, sizeof data);
}

/* If anything fails before the rename, the old content stays, the part is removed, the message has path and reason. */
TEST_WITH(set_up, leave_folder, failures_leave_the_old_file) {
  const struct {
    call_t call;
    int reason, after;
  } faults[] = {{CALL_OPEN, EROFS, 0},  {CALL_OPEN, EACCES, 0}, {CALL_WRITE, ENOSPC, 0}, {CALL_WRITE, ENOSPC, 2},
                {CALL_WRITE, EFBIG, 1}, {CALL_FSYNC, EIO, 0},   {CALL_CLOSE, EDQUOT, 0}, {CALL_RENAME, EACCES, 0}};
  char data[100] = "new";
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    memset(&fault, 0, sizeof fault);
    assert_ok(es_file_write_atomic("a.h5", "old", 3, fresh()));
    fault.call = faults[i].call;
    fault.reason = faults[i].reason;
    fault.after = faults[i].after;
    fault.times = -1;
    fault.write_cap = 10;
    assert_int_equal(es_file_write_atomic("a.h5", data, sizeof data, fresh()), ES_SYSTEM);
    assert_int_equal(said.code, ES_SYSTEM);
    assert_string_equal(said.stage, "file");
    assert_non_null(strstr(said.message, "a.h5: cannot be written"));
    assert_non_null(strstr(said.message, strerror(faults[i].reason)));
    memset(&fault, 0, sizeof fault);
    check_content("a.h5", "old", 3);
    assert_int_equal(folder_count(), 1);
  }
}

TEST_WITH(set_up, leave_folder, folder_that_cannot_be_synced) {
  fault.call = CALL_FSYNC;
  fault.reason = EINVAL; /* errno of file systems without fsync */
  fault.after = 1;
  fault.times = 1;
  assert_ok(es_file_write_atomic("a", "x", 1, fresh()));
  fault.reason = EIO;
  fault.after = 1;
  fault.times = 1;
  assert_fails_with(es_file_write_atomic("a", "y", 1, fresh()), ES_SYSTEM, strerror(EIO));
}

TEST_WITH(set_up, leave_folder, size_limit) {
  char *data = es_allocate_zero(10000, 1);
  file_size_limit(4096);
  es_code_t code = es_file_write_atomic("large", data, 10000, fresh());
  file_size_limit(-1);
  assert_int_equal(code, ES_SYSTEM);
  assert_non_null(strstr(said.message, strerror(EFBIG)));
  assert_int_equal(folder_count(), 0);
  es_free(data);
}

TEST_WITH(set_up, leave_folder, write_without_folder) {
  assert_fails_with(es_file_write_atomic("missing/a", "x", 1, fresh()), ES_SYSTEM, "missing/a: cannot be written");
  assert_non_null(strstr(said.message, strerror(ENOENT)));
  assert_false(es_directory_exists("missing"));
}

TEST_WITH(set_up, leave_folder, links_are_replaced) {
  assert_ok(es_file_write_atomic("precious", "old", 3, fresh()));
  assert_int_equal(symlink("precious", "link"), 0);
  assert_ok(es_file_write_atomic("link", "new", 3, fresh()));
  check_content("link", "new", 3);
  check_content("precious", "old", 3);
}

/* Opens a part of `path`, and copies its name, which the part then no longer removes. */
static void leave_part(const char *path, char name[128]) {
  es_file_part_t part;
  assert_ok(es_file_part_open(&part, path, fresh()));
  snprintf(name, 128, "%s", part.name);
  close(part.descriptor);
  es_free(part.name);
}

/* Opens a part in another process, which then waits at `gate` until it is closed, and ends. */
static pid_t part_of_child(const char *path, char name[128], int *gate) {
  int names[2], gates[2];
  memset(name, 0, 128);
  assert_int_equal(pipe(names) | pipe(gates), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(gates[1]);
    leave_part(path, name);
    const bool told = write(names[1], name, 128) == 128;
    char end;
    _exit(told && read(gates[0], &end, 1) == 0 ? 0 : 1);
  }
  assert_true(child > 0);
  close(gates[0]);
  close(names[1]);
  assert_int_equal(read(names[0], name, 128), 128);
  close(names[0]);
  *gate = gates[1];
  return child;
}

TEST_WITH(set_up, leave_folder, parts_have_different_names) {
  char first[128], second[128], other[128];
  int gate, code;
  leave_part("a", first);
  leave_part("a", second);
  const pid_t child = part_of_child("a", other, &gate);
  close(gate);
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_string_not_equal(first, second);
  assert_string_not_equal(first, other);
  es_file_remove_parts("a");
  assert_int_equal(folder_count(), 0);
}

/* A part stays while its writer runs, whoever asks; the writer's end frees it. */
TEST_WITH(set_up, leave_folder, part_of_a_running_process_stays) {
  char name[128];
  int gate, code;
  siginfo_t ended;
  const pid_t child = part_of_child("a", name, &gate);
  es_file_remove_parts("a");
  assert_true(es_file_exists(name));
  close(gate);
  assert_int_equal(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT), 0); /* it has ended, and remains a zombie */
  es_file_remove_parts("a");
  assert_false(es_file_exists(name));
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_int_equal(code, 0);
}

static void touch(const char *path, time_t age) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fclose(file);
  const struct timespec times[2] = {{time(NULL) - age, 0}, {time(NULL) - age, 0}};
  assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Parts of another machine, and of programs that wrote <name>.<process>.part, are removed when they are a week old. */
TEST_WITH(set_up, leave_folder, remove_old_parts) {
  enum { DAY = 24 * 3600 };
  assert_int_equal(mkdir("points", 0777), 0);
  const char *parts[] = {"points/a.h5.1.part", "points/a.h5.12345.part",
                         "points/a.h5.0123456789abcdef.1.fedcba9876543210.part"};
  const char *others[] = {"points/a.h5",
                          "points/b.h5.1.part",
                          "points/a.h5.part",
                          "points/a.h5..part",
                          "points/a.h5.1.part2",
                          "points/a.h5.x.part",
                          "points/a.h5.old.1.part",
                          "points/a.h5.0123456789abcdef.1.fedcba987654321.part",
                          "points/a.h5.0123456789abcdef.1.fedcba9876543210.part2"};
  enum { PARTS = sizeof parts / sizeof *parts, OTHERS = sizeof others / sizeof *others };
  for (int i = 0; i < PARTS; i++) touch(parts[i], 6 * DAY);
  for (int i = 0; i < OTHERS; i++) touch(others[i], 8 * DAY);
  es_file_remove_parts("points/a.h5");
  for (int i = 0; i < PARTS; i++) assert_true(es_file_exists(parts[i]));
  for (int i = 0; i < PARTS; i++) touch(parts[i], 8 * DAY);
  touch("bare.7.part", 8 * DAY);
  es_file_remove_parts("points/a.h5");
  for (int i = 0; i < PARTS; i++) assert_false(es_file_exists(parts[i]));
  for (int i = 0; i < OTHERS; i++) assert_true(es_file_exists(others[i]));
  es_file_remove_parts("bare");
  assert_false(es_file_exists("bare.7.part"));
  es_file_remove_parts("nowhere/a");
}

TEST_WITH(set_up, leave_folder, read_failures) {
  char *data = (char *)1;
  size_t size = 1;
  assert_int_equal(es_file_read("missing.yaml", &data, &size, fresh()), ES_SYSTEM);
  assert_null(data);
  assert_int_equal(size, 0);
  assert_non_null(strstr(said.message, "missing.yaml: cannot be read"));
  assert_non_null(strstr(said.message, strerror(ENOENT)));
  assert_fails_with(es_file_read(folder, &data, &size, fresh()), ES_SYSTEM, strerror(EISDIR));
}

TEST_WITH(set_up, leave_folder, read_no_more_than_wanted) {
  char *data;
  size_t size;
  assert_ok(es_file_write_atomic("a", "12345678", 8, fresh()));
  assert_ok(es_file_read_most("a", 8, &data, &size, fresh()));
  assert_int_equal(size, 8);
  es_free(data);
  assert_fails(es_file_read_most("a", 7, &data, &size, fresh()), ES_INPUT,
               "a: has more than 7 bytes; larger files are not read");
  assert_null(data);
  assert_int_equal(es_file_read_most("/dev/zero", 1 << 20, &data, &size, fresh()), ES_INPUT);
  assert_null(data);
}

TEST_WITH(set_up, leave_folder, read_of_a_file_without_size) {
  /* One line for each of these pages, because neighbours differ: more than the reader's initial buffer. */
  enum { PAGES = 200, PAGE = 4096 };
  char *pages = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(pages != MAP_FAILED);
  for (int i = 0; i < PAGES; i += 2) assert_int_equal(mprotect(pages + i * PAGE, PAGE, PROT_NONE), 0);
  char *data;
  size_t size;
  assert_ok(es_file_read("/proc/self/maps", &data, &size, fresh()));
  assert_true(size > PAGES * 20);
  assert_int_equal(strlen(data), size);
  es_free(data);
  munmap(pages, PAGES * PAGE);
}

TEST_WITH(set_up, leave_folder, directory_create) {
  assert_ok(es_directory_create("a/b//c/", fresh()));
  assert_true(es_directory_exists("a/b/c"));
  assert_ok(es_directory_create("a/b/c", fresh()));
  assert_ok(es_directory_create("/", fresh()));
  char path[300];
  snprintf(path, sizeof path, "%s/x/y", folder);
  assert_ok(es_directory_create(path, fresh()));
  assert_true(es_directory_exists("x/y"));
  assert_false(es_file_exists("x/y"));
  touch("a/file", 0);
  assert_fails_with(es_directory_create("a/file/deep", fresh()), ES_INPUT, "a/file: cannot be created as a folder");
  assert_non_null(strstr(said.message, strerror(ENOTDIR)));
  assert_false(es_directory_exists("a/file"));
  assert_true(es_file_exists("a/file"));
}

TEST_WITH(set_up, leave_folder, kinds) {
  char zeros[512] = "", tar[512] = "x";
  memcpy(tar + 257, "ustar", 5);
  const struct {
    const char *data;
    size_t size;
    const char *words;
  } rows[] = {{"", 0, "empty"},
              {"version https://git-lfs.github.com/spec/v1\n", 43, "a pointer of Git LFS"},
              {" \n<!DOCTYPE html>", 17, "a web page"},
              {"<?xml version=\"1.0\"?>", 21, "the answer of a server"},
              {"PK\3\4 zip", 8, "a zip file"},
              {"\x80\2}q", 4, "a Python pickle"},
              {"\x89HDF\r\n\x1a\n", 8, "an HDF5 file"},
              {"\x1f\x8b\x8", 3, "compressed by gzip"},
              {"\x40\0\0\0\0\0\0\0{\"a\"", 12, "a safetensors file"},
              {tar, sizeof tar, "a tar archive"},
              {zeros, sizeof zeros, "zeros"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_ok(es_file_write_atomic("file", rows[i].data, rows[i].size, fresh()));
    const char *kind = es_file_kind("file");
    if (kind == NULL || strstr(kind, rows[i].words) == NULL) fail_msg("%zu: %s", i, kind != NULL ? kind : "NULL");
  }
  assert_null(es_file_kind_of("\x7f"
                              "ELF",
                              4));
  assert_null(es_file_kind_of("name: job", 9));
  assert_null(es_file_kind_of(zeros, 20)); /* a small file may be zeros */
  assert_null(es_file_kind("nowhere"));
}

TEST(hash) {
  /* XXH3 of nothing, from its specification; stored ids depend on it. */
  assert_true(es_hash("", 0, 0) == 0x2d06800538d394c2u);
  assert_true(es_hash("abc", 3, 0) == es_hash("abc", 3, 0));
  assert_true(es_hash("abc", 3, 0) != es_hash("abd", 3, 0));
  assert_true(es_hash("abc", 3, 0) != es_hash("abc", 3, 1));
  assert_true(es_hash("b", 1, es_hash("a", 1, 0)) != es_hash("a", 1, es_hash("b", 1, 0)));
}
