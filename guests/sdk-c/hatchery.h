/* Guests of Hatchery in C, on WASI 0.2 and 0.3 with the same source. See README.md.
 *
 * A guest defines those of the functions under "What a guest writes" that it needs; the SDK has the others.
 * Texts and data that the SDK hands over end with a 0 that is not counted, and are the SDK's: they are gone when
 * the call ends. What a guest hands over is copied before the function returns. */
#ifndef HATCHERY_H
#define HATCHERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { HATCHERY_AGENT, HATCHERY_WORKER } hatchery_role;
typedef enum { HATCHERY_STARTING, HATCHERY_READY, HATCHERY_DRAINING } hatchery_state;

typedef struct {
  uint64_t pid; /* the cluster's id, never reused while the cluster lives */
  hatchery_role role;
  uint32_t slot; /* a worker's place, 0..N-1; 0 for the agent */
  uint64_t generation; /* the deployed version of the app, counted from 1 */
  hatchery_state state;
} hatchery_process;

typedef struct {
  const char *method;
  const char *target; /* path and query as they came */
  const char *body;
  size_t length;
} hatchery_request;

typedef struct {
  const char *action;
  const char *data;
  size_t length;
  struct { uint64_t pid; hatchery_role role; uint32_t slot; } sender; /* as the master stamped it */
} hatchery_message;

/* A call of the guest that wants an answer. It ends with exactly one of the functions under "Answers", called
 * before the guest's function returns or in one that a question's answer calls. Else it ends as a failure. */
typedef struct hatchery_call hatchery_call;

/* ---- What a guest writes. */
void hatchery_handle(hatchery_call *call, const hatchery_request *request);
void hatchery_start(hatchery_call *call);
void hatchery_cluster_ready(void);
void hatchery_processes_changed(const hatchery_process *processes, size_t count);
void hatchery_stop(void);
void hatchery_on_message(const hatchery_message *message);
void hatchery_on_request(hatchery_call *call, const hatchery_message *request);
void hatchery_run_task(hatchery_call *call, const char *name, const char *payload, size_t length);

/* ---- Answers. */
void hatchery_respond(hatchery_call *call, int status, const char *type, const void *body, size_t length);
void hatchery_answer(hatchery_call *call, const void *data, size_t length); /* to hatchery_on_request */
void hatchery_done(hatchery_call *call); /* of hatchery_start and hatchery_run_task */
void hatchery_fail(hatchery_call *call, const char *reason); /* any; of a request a 500, and in the log */

/* ---- Send and forget: queued (NULL) or refused, and then the reason. */
const char *hatchery_broadcast(const char *action, const void *data, size_t length);
const char *hatchery_send_to_app(const char *action, const void *data, size_t length);
const char *hatchery_send_to_agent(const char *action, const void *data, size_t length);
const char *hatchery_send_random(const char *action, const void *data, size_t length);
const char *hatchery_send_to(uint64_t pid, const char *action, const void *data, size_t length);

/* ---- Ask: `then` is called with the answers, on WASI 0.2 before the function returns. One answer, and of
 * hatchery_ask_app one for each worker, or one with pid 0 where nobody could be asked. A timeout is in
 * milliseconds and cut to the app's request-timeout; 0 means that. */
typedef struct {
  uint64_t pid;
  const char *error; /* NULL where there is an answer */
  const char *data;
  size_t length;
} hatchery_reply;
typedef void hatchery_answered(void *context, const hatchery_reply *replies, size_t count);
typedef struct {
  const char *action;
  const void *data;
  size_t length;
  uint64_t timeout;
  hatchery_answered *then;
  void *context;
} hatchery_question;
void hatchery_ask_agent(hatchery_question question);
void hatchery_ask(uint64_t pid, hatchery_question question);
void hatchery_ask_app(hatchery_question question);

/* ---- Who is there. */
hatchery_process hatchery_self(void);
/* All processes of this app, the agent first; writes at most `room` of them and returns how many there are. */
size_t hatchery_processes(hatchery_process *processes, size_t room);

#endif
