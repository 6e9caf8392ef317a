/* ModelLib's C API: loads plans (.mlplan) and runs them. modellib/compiler.h makes plans of models,
 * modellib/modellib.hpp wraps both for C++.
 *
 *   modellib_plan* plan;
 *   modellib_session* session;
 *   if (modellib_plan_load_file("mnist.mlplan", NULL, &plan) != MODELLIB_OK ||
 *       modellib_session_create(plan, NULL, &session) != MODELLIB_OK ||
 *       modellib_session_bind_input(session, 0, 0, pixels, (int64_t[]){1, 784}, 2) != MODELLIB_OK
 * || modellib_session_bind_output(session, 0, 0, logits, sizeof(logits)) != MODELLIB_OK ||
 *       modellib_session_run(session, 0, NULL) != MODELLIB_OK) {
 *     fprintf(stderr, "%s\n", modellib_error_message());
 *   }
 *
 * Entries, inputs, outputs and dims are numbers, found by name once. A run allocates nothing and
 * copies nothing: it reads and writes where the caller says.
 *
 * ABI. What stands here stays: functions and enumerators are added, never changed. A struct begins
 * with its size, which the caller sets (`modellib_load_options options = {.size =
 * sizeof(options)};`), so that it can grow; whatever else is zero is the default. Options may be
 * NULL: all defaults.
 *
 * Errors. Functions return a modellib_status; modellib_error_message() has the text. Out-parameters
 * are set to NULL by a function that fails to make something. No function ends the process, throws,
 * installs a signal handler or prints; see modellib_log. NULL where an object is wanted is
 * MODELLIB_INVALID_ARGUMENT.
 *
 * Threads. Plans and variables may be used from any thread at once, a session by one at a time.
 * Objects may be freed in any order: a session keeps what it needs of its plan. The floating-point
 * state of the caller's thread is left as it is found and has no influence on results.
 *
 * Processes. In a child that was forked, plans of the parent may be used, its sessions and
 * variables give MODELLIB_FAILED_PRECONDITION (and may be freed, which does nothing), and all can
 * be made anew. A fork waits for calls on other threads that load, compile or make something, and
 * those that begin meanwhile wait for it: hold no lock there that your callbacks take. It waits for
 * ten seconds at most; beside a compile that takes longer it goes on, and the child may hang when
 * it loads, compiles or makes something. After dlclose the library's code stays mapped: helpers of
 * TBB may still be on their way out. */
#ifndef MODELLIB_MODELLIB_H_
#define MODELLIB_MODELLIB_H_

#include <stddef.h>
#include <stdint.h>

/* NOLINTBEGIN(readability-identifier-naming): the names of a C library */

#define MODELLIB_API __attribute__((visibility("default")))

#define MODELLIB_VERSION_MAJOR 0
#define MODELLIB_VERSION_MINOR 1
#define MODELLIB_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Versions and errors ----------------------------------------------------------------------
 */

/* Of the library that is loaded, "0.1.0". */
MODELLIB_API const char* modellib_version(void);
/* As a number to compare: major * 1000000 + minor * 1000 + patch. */
MODELLIB_API uint32_t modellib_version_number(void);

/* The numbers are those of gRPC and Abseil. */
typedef enum modellib_status {
  MODELLIB_OK = 0,
  MODELLIB_CANCELLED = 1,
  MODELLIB_UNKNOWN = 2,
  MODELLIB_INVALID_ARGUMENT = 3,
  MODELLIB_DEADLINE_EXCEEDED = 4,
  MODELLIB_NOT_FOUND = 5,
  MODELLIB_ALREADY_EXISTS = 6,
  MODELLIB_PERMISSION_DENIED = 7,
  MODELLIB_RESOURCE_EXHAUSTED = 8,
  MODELLIB_FAILED_PRECONDITION = 9,
  MODELLIB_ABORTED = 10,
  MODELLIB_OUT_OF_RANGE = 11,
  MODELLIB_UNIMPLEMENTED = 12,
  MODELLIB_INTERNAL = 13,
  MODELLIB_UNAVAILABLE = 14,
  MODELLIB_DATA_LOSS = 15,
  MODELLIB_STATUS_WIDTH = 0x7fffffff /* no status: makes it 32 bits wide, for any number */
} modellib_status;

/* "INVALID_ARGUMENT" and so on; "UNKNOWN" for a number that is none. */
MODELLIB_API const char* modellib_status_name(modellib_status status);
/* What went wrong in the last function that failed on this thread: what, where, what was expected
 * and what came. Valid until the next one fails on this thread; "" before the first. */
MODELLIB_API const char* modellib_error_message(void);

/* ---- What the host may bring ------------------------------------------------------------------
 */

typedef enum modellib_log_level {
  MODELLIB_LOG_DEBUG = 0,
  MODELLIB_LOG_INFO = 1,
  MODELLIB_LOG_WARNING = 2,
  MODELLIB_LOG_LEVEL_WIDTH = 0x7fffffff /* no level */
} modellib_log_level;

/* Where messages go. The library prints nothing: without a sink they are not made. `write` is
 * called within functions that are given the sink (never in a run), on the calling thread; `text`
 * is one line without its end. */
typedef struct modellib_log {
  size_t size;
  void (*write)(void* user, modellib_log_level level, const char* text);
  void* user;
  modellib_log_level min_level;
} modellib_log;

/* Where large memory comes from: a plan's bytes where they are copied or read, not mapped nor used
 * in place; the values of variables and their published version; a session's memory
 * (modellib_plan_session_bytes) and the inputs and outputs that it owns. All else comes from the
 * heap: tables of a plan's steps and what oneDNN prepares for them, all that compiling takes, and
 * the copy that reading a variable makes on the way.
 *
 * Copied; the functions must stay valid until all is freed that was made with it, and may be called
 * from any thread. `allocate` returns NULL where there is none; `alignment` is a power of two, 4096
 * at most, and `bytes` a multiple of it. */
typedef struct modellib_allocator {
  size_t size;
  void* (*allocate)(void* user, size_t bytes, size_t alignment);
  void (*deallocate)(void* user, void* memory, size_t bytes, size_t alignment);
  void* user;
} modellib_allocator;

/* Where a plan's bytes come from when they are neither in a file nor in memory: an encrypted store,
 * an archive. `read` fills `into` with `bytes` bytes from `offset` on, all below `length`; it is
 * called while the plan is loaded, on that thread. Another status than MODELLIB_OK ends the
 * loading. */
typedef struct modellib_reader {
  size_t size;
  uint64_t length;
  modellib_status (*read)(void* user, uint64_t offset, void* into, uint64_t bytes);
  void* user;
} modellib_reader;

/* The host's own threads. `summon` arranges that help(context) runs once, at some time, on some
 * thread of the pool, and returns at once; it is called within runs. A run never depends on it:
 * helpers that come late, or never, cost time alone. `help` returns 200 us after there is nothing
 * to do. At most `threads` threads work for a session at a time, the calling one included. */
typedef struct modellib_workers {
  size_t size;
  int32_t threads;
  void (*summon)(void* user, void (*help)(void* context), void* context);
  void* user;
} modellib_workers;

/* ---- Plans ------------------------------------------------------------------------------------
 */

/* A plan, checked and ready to run; immutable. */
typedef struct modellib_plan modellib_plan;

typedef enum modellib_dtype {
  MODELLIB_F64 = 1,
  MODELLIB_F32 = 2,
  MODELLIB_F16 = 3,
  MODELLIB_BF16 = 4,
  MODELLIB_I4 = 5, /* two to a byte, low half first; also U4 */
  MODELLIB_I8 = 6,
  MODELLIB_I16 = 7,
  MODELLIB_I32 = 8,
  MODELLIB_I64 = 9,
  MODELLIB_U4 = 10,
  MODELLIB_U8 = 11,
  MODELLIB_U16 = 12,
  MODELLIB_U32 = 13,
  MODELLIB_U64 = 14,
  MODELLIB_BOOL = 15, /* one byte, 0 or 1 */
  MODELLIB_F8E4M3 = 16,
  MODELLIB_F8E5M2 = 17,
  MODELLIB_DTYPE_WIDTH = 0x7fffffff /* no type */
} modellib_dtype;

typedef struct modellib_load_options {
  size_t size;
  /* Not 0: the bytes may be hostile. They are copied, their checksums compared, and inputs and
   * outputs of free size pass through buffers of the session's. What loads can do no harm either
   * way. */
  int32_t untrusted;
  /* Not 0: a file is read into memory instead of mapped (it may change while in use). Processes
   * share the weights of a mapped file. */
  int32_t copy;
  const modellib_allocator* allocator;
  const modellib_log* log;
} modellib_load_options;

/* NOT_FOUND, PERMISSION_DENIED for the file; INVALID_ARGUMENT or DATA_LOSS for bytes that are no
 * plan; FAILED_PRECONDITION for a version or for kernels that this library does not have. */
MODELLIB_API modellib_status modellib_plan_load_file(const char* path,
                                                     const modellib_load_options* options,
                                                     modellib_plan** plan);
/* The bytes are used where they lie if they are aligned to 64 bytes and neither `copy` nor
 * `untrusted` is set: then they must outlive the plan and its sessions. Else they are copied. */
MODELLIB_API modellib_status modellib_plan_load_memory(const void* data, size_t bytes,
                                                       const modellib_load_options* options,
                                                       modellib_plan** plan);
MODELLIB_API modellib_status modellib_plan_load_reader(const modellib_reader* reader,
                                                       const modellib_load_options* options,
                                                       modellib_plan** plan);
/* NULL is fine, here and in all functions that free. */
MODELLIB_API void modellib_plan_free(modellib_plan* plan);

/* What follows lives as long as the plan: strings and arrays are its own. The functions give
 * OUT_OF_RANGE for an index that is none, and the find functions NOT_FOUND with the names that
 * there are. */
typedef struct modellib_entry_info {
  size_t size;
  const char* name;
  int32_t inputs, outputs, dims;
  int32_t writes_variables; /* not 0: a run changes shared variables */
  uint64_t planned_bytes;   /* of its arenas */
} modellib_entry_info;

typedef struct modellib_tensor_info {
  size_t size;
  const char* name;
  modellib_dtype dtype;
  int32_t rank;
  const int64_t* max_extents; /* the largest extent of each dimension */
  const int32_t* dims;        /* the free dim that each dimension of an input binds, or -1 */
  uint64_t max_bytes;         /* at the largest extents */
  int32_t dynamic;            /* not 0: some extent is decided by each run */
} modellib_tensor_info;

/* A free dimension: "batch", say. The plan holds for min to max. */
typedef struct modellib_dim_info {
  size_t size;
  const char* name;
  int64_t min, max;
} modellib_dim_info;

MODELLIB_API int32_t modellib_plan_entries(const modellib_plan* plan);
MODELLIB_API modellib_status modellib_plan_entry(const modellib_plan* plan, int32_t entry,
                                                 modellib_entry_info* info);
MODELLIB_API modellib_status modellib_plan_input(const modellib_plan* plan, int32_t entry,
                                                 int32_t input, modellib_tensor_info* info);
MODELLIB_API modellib_status modellib_plan_output(const modellib_plan* plan, int32_t entry,
                                                  int32_t output, modellib_tensor_info* info);
MODELLIB_API modellib_status modellib_plan_dim(const modellib_plan* plan, int32_t entry,
                                               int32_t dim, modellib_dim_info* info);
MODELLIB_API modellib_status modellib_plan_find_entry(const modellib_plan* plan, const char* name,
                                                      int32_t* entry);
MODELLIB_API modellib_status modellib_plan_find_input(const modellib_plan* plan, int32_t entry,
                                                      const char* name, int32_t* input);
MODELLIB_API modellib_status modellib_plan_find_output(const modellib_plan* plan, int32_t entry,
                                                       const char* name, int32_t* output);
MODELLIB_API modellib_status modellib_plan_find_dim(const modellib_plan* plan, int32_t entry,
                                                    const char* name, int32_t* dim);
/* What a session takes, in whole pages of 4096 bytes and one at least, without inputs and outputs
 * of its own and variables of its own: the memory that modellib_session_options.memory wants, and
 * the least that max_bytes allows. */
MODELLIB_API uint64_t modellib_plan_session_bytes(const modellib_plan* plan);

/* ---- Variables --------------------------------------------------------------------------------
 */

/* What runs share and change: weights that are trained, optimizer slots, running statistics. Plans
 * with variables of one name share them. */
typedef struct modellib_variables modellib_variables;

typedef struct modellib_variables_options {
  size_t size;
  int64_t seed;       /* for first values that a plan draws */
  int32_t threads;    /* that compute them; 0: one */
  uint64_t max_bytes; /* RESOURCE_EXHAUSTED beyond (published versions count); 0: no limit */
  const modellib_allocator* allocator;
} modellib_variables_options;

MODELLIB_API modellib_status modellib_variables_create(const modellib_plan* const* plans,
                                                       size_t count,
                                                       const modellib_variables_options* options,
                                                       modellib_variables** variables);
MODELLIB_API void modellib_variables_free(modellib_variables* variables);

/* `name` is unique, as in "fc1.weight". The extents live as long as the variables. */
typedef struct modellib_variable_info {
  size_t size;
  const char* name;
  modellib_dtype dtype;
  int32_t rank;
  const int64_t* extents;
  uint64_t bytes;
} modellib_variable_info;
/* 0 for NULL and in a forked child. */
MODELLIB_API int32_t modellib_variables_count(const modellib_variables* variables);
MODELLIB_API modellib_status modellib_variables_info(const modellib_variables* variables,
                                                     int32_t index, modellib_variable_info* info);
/* `bytes` must be those of the variable. FAILED_PRECONDITION while a run writes (get), or uses
 * (set) them or modellib_variables_publish copies them (set). */
MODELLIB_API modellib_status modellib_variables_get(const modellib_variables* variables,
                                                    const char* name, void* into, size_t bytes);
MODELLIB_API modellib_status modellib_variables_set(modellib_variables* variables, const char* name,
                                                    const void* from, size_t bytes);
/* Shows the present values to sessions with `published` set, from their next run on. Waits for runs
 * that still read the version before the last. FAILED_PRECONDITION while a run writes. */
MODELLIB_API modellib_status modellib_variables_publish(modellib_variables* variables);

/* ---- Sessions ---------------------------------------------------------------------------------
 */

/* One caller's place to run a plan: memory, threads, and what is bound. */
typedef struct modellib_session modellib_session;

/* What modellib_session_options.on_step is told. */
typedef struct modellib_step {
  size_t size;
  int32_t entry;
  int32_t index;      /* in the order of the plan */
  const char* name;   /* the node or scope that it came from */
  const char* kernel; /* "cpu.matmul", say */
  int32_t outputs;
  int32_t inputs;
  void* const* buffers;  /* outputs, then inputs; NULL: absent */
  const uint64_t* bytes; /* of each, at the largest extents */
} modellib_step;

typedef struct modellib_session_options {
  size_t size;
  /* Threads that work for a run, the calling one included; 0: those of `tbb_arena` or `workers`, or
   * one for each core that the process may use. With 1 no other thread is ever touched. An arena of
   * the session's own has no more threads than there are such cores, or than the host's
   * tbb::global_control allows when the session is made. */
  int32_t threads;
  /* Not 0: reads published versions of the variables, while another session writes. Runs of
   * entries that use them give FAILED_PRECONDITION until modellib_variables_publish is called after
   * the first such session was made (before, it does nothing), and those of entries that write them
   * always. Wants `variables` (INVALID_ARGUMENT without): nobody can publish those of the
   * session's own. */
  int32_t published;
  /* A tbb::task_arena of the host's (oneTBB 2021 or newer, the same libtbb.so.12), which must
   * outlive the session. Its number of threads is never exceeded. NULL: an arena of the session's
   * own. */
  void* tbb_arena;
  /* Or threads of another kind. */
  const modellib_workers* workers;
  /* modellib_plan_session_bytes() bytes, aligned to 4096, that outlive the session. NULL: it
   * allocates them. */
  void* memory;
  size_t memory_bytes;
  /* RESOURCE_EXHAUSTED where the session would take more, with variables of its own and, once they
   * are wanted, inputs and outputs of its own; what is given as `memory` does not count. 0: no
   * limit. */
  uint64_t max_bytes;
  const modellib_allocator* allocator;
  /* NULL: variables of the session's own, where the plan has any. */
  modellib_variables* variables;
  const modellib_log* log;
  /* To look at intermediate values: called after each step, on a thread of the run; the buffers are
   * overwritten by later steps; it must not throw. modellib_compile_options.keep makes outputs of
   * them instead. */
  void (*on_step)(void* user, const modellib_step* step);
  void* step_user;
} modellib_session_options;

MODELLIB_API modellib_status modellib_session_create(const modellib_plan* plan,
                                                     const modellib_session_options* options,
                                                     modellib_session** session);
MODELLIB_API void modellib_session_free(modellib_session* session);

/* The next runs read from `data`, which the caller keeps and may change between them; `extents`
 * from the outermost to the innermost. INVALID_ARGUMENT for a wrong rank or extent or for data that
 * is not aligned to its elements, FAILED_PRECONDITION for an extent that was not planned for. */
MODELLIB_API modellib_status modellib_session_bind_input(modellib_session* session, int32_t entry,
                                                         int32_t input, const void* data,
                                                         const int64_t* extents, int32_t rank);
/* The next runs write to `data`, `bytes` long, enough for the extents of each run. */
MODELLIB_API modellib_status modellib_session_bind_output(modellib_session* session, int32_t entry,
                                                          int32_t output, void* data, size_t bytes);
/* Back to a buffer of the session's own, which is also where outputs go that were never bound. */
MODELLIB_API modellib_status modellib_session_release_output(modellib_session* session,
                                                             int32_t entry, int32_t output);
/* Sets a free dim that no input binds (a position, say). */
MODELLIB_API modellib_status modellib_session_set_dim(modellib_session* session, int32_t entry,
                                                      int32_t dim, int64_t value);
/* Does what the next run would do before its first step; the errors are those of run. */
MODELLIB_API modellib_status modellib_session_prepare(modellib_session* session, int32_t entry);

/* Stops runs from another thread, between two of their steps or between the chunks of a step that
 * has more than a thousand; a deadline is looked at there too. Any number of runs may share one. */
typedef struct modellib_cancel modellib_cancel;
MODELLIB_API modellib_status modellib_cancel_create(modellib_cancel** cancel);
MODELLIB_API void modellib_cancel_free(modellib_cancel* cancel);
MODELLIB_API void modellib_cancel_set(modellib_cancel* cancel);
MODELLIB_API void modellib_cancel_reset(modellib_cancel* cancel);

typedef struct modellib_run_options {
  size_t size;
  const modellib_cancel* cancel; /* NULL: none */
  int64_t deadline_ns;           /* by CLOCK_MONOTONIC; 0: none */
} modellib_run_options;

/* From the second run on it allocates nothing, takes no lock and looks nothing up.
 * FAILED_PRECONDITION for inputs that are missing or extents that were not planned for,
 * INVALID_ARGUMENT for extents that contradict each other; CANCELLED, DEADLINE_EXCEEDED;
 * OUT_OF_RANGE and the like for a mistake in the data, naming the step. After an error outputs, and
 * the variables that the entry writes, hold something unspecified: a step of training that was
 * cancelled may have updated some weights and not others. */
MODELLIB_API modellib_status modellib_session_run(modellib_session* session, int32_t entry,
                                                  const modellib_run_options* options);

/* An output of the last run or prepare; valid until the session is used again. */
typedef struct modellib_tensor {
  size_t size;
  modellib_dtype dtype;
  int32_t rank;
  const int64_t* extents;
  const void* data;
  uint64_t bytes;
} modellib_tensor;
MODELLIB_API modellib_status modellib_session_output(const modellib_session* session, int32_t entry,
                                                     int32_t output, modellib_tensor* tensor);

/* Session variables (a cache of keys and values, a random state): NOT_FOUND, INVALID_ARGUMENT for
 * another number of bytes. */
MODELLIB_API modellib_status modellib_session_get_variable(const modellib_session* session,
                                                           const char* name, void* into,
                                                           size_t bytes);
MODELLIB_API modellib_status modellib_session_set_variable(modellib_session* session,
                                                           const char* name, const void* from,
                                                           size_t bytes);
/* As they were when the session was made. */
MODELLIB_API modellib_status modellib_session_reset_variables(modellib_session* session);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* NOLINTEND(readability-identifier-naming) */

#endif /* MODELLIB_MODELLIB_H_ */
