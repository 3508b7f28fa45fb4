/* The exports and questions on WASI 0.3: many calls at once. Each export is a task that keeps what it waits
 * for in a list, and is called back for one of them at a time:
 *
 *   export ──► the guest's function ──► WAIT while there are waits ──► EXIT
 *                  ▲                        │ an event
 *                  └── the wait's `then` ◄──┘
 */

#include "wasi-0.3.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hatchery_call *hatchery_current;

void *hatchery_must(void *memory) {
  if (!memory) abort();
  return memory;
}

hatchery_call *hatchery_begin(int kind) {
  hatchery_current = hatchery_must(calloc(1, sizeof *hatchery_current));
  hatchery_current->kind = kind;
  app_context_set_0(hatchery_current);
  return hatchery_current;
}

wait *hatchery_wait_for(hatchery_call *call, uint32_t handle, void (*then)(hatchery_call *, wait *, uint32_t)) {
  wait *self = hatchery_must(calloc(1, sizeof *self));
  if (!call->set) call->set = app_waitable_set_new();
  self->handle = handle;
  self->then = then;
  self->next = call->waits;
  call->waits = self;
  app_waitable_join(handle, call->set);
  return self;
}

void hatchery_drop(hatchery_call *call, wait *self) {
  wait **place = &call->waits;
  while (*place != self) place = &(*place)->next;
  *place = self->next;
  if (self->handle) app_waitable_join(self->handle, 0);
  free((void *)self->question.action);
  free((void *)self->question.data);
  free(self);
}

app_callback_code_t hatchery_next(hatchery_call *call) {
  if (!call->waits && !call->is_over && call->kind != TOLD) hatchery_fail(call, "the guest gave no answer");
  if (call->waits) return APP_CALLBACK_CODE_WAIT(call->set);
  if (call->set) app_waitable_set_drop(call->set);
  if (call->message.action) hatchery_message_free(&call->message);
  free(call->name);
  free(call->payload);
  free((char *)call->request.method);
  free((char *)call->request.target);
  free((char *)call->request.body);
  free(call->data);
  free(call);
  return APP_CALLBACK_CODE_EXIT;
}

static app_callback_code_t resume(app_event_t *event) {
  hatchery_call *call = hatchery_current = app_context_get_0();
  for (wait *one = call->waits; one; one = one->next) {
    if (one->handle != event->waitable) continue;
    one->then(call, one, event->code);
    break;
  }
  return hatchery_next(call);
}

/* Only the running call can be answered: an answer belongs to its task. */
bool hatchery_ends(hatchery_call *call) {
  if (call->is_over || call != hatchery_current) return false;
  return call->is_over = true;
}

/* ---- Exports of the cluster. */

app_callback_code_t exports_hatchery_cluster_lifecycle_start(void) {
  hatchery_call *call = hatchery_begin(START);
  hatchery_start(call);
  return hatchery_next(call);
}

app_callback_code_t exports_hatchery_cluster_lifecycle_cluster_ready(void) {
  hatchery_call *call = hatchery_begin(TOLD);
  hatchery_cluster_ready();
  exports_hatchery_cluster_lifecycle_cluster_ready_return();
  return hatchery_next(call);
}

app_callback_code_t
exports_hatchery_cluster_lifecycle_processes_changed(exports_hatchery_cluster_lifecycle_list_process_t *processes) {
  hatchery_call *call = hatchery_begin(TOLD);
  hatchery_tell_processes(processes->ptr, processes->len);
  exports_hatchery_cluster_lifecycle_list_process_free(processes);
  exports_hatchery_cluster_lifecycle_processes_changed_return();
  return hatchery_next(call);
}

app_callback_code_t exports_hatchery_cluster_lifecycle_stop(void) {
  hatchery_call *call = hatchery_begin(TOLD);
  hatchery_stop();
  exports_hatchery_cluster_lifecycle_stop_return();
  return hatchery_next(call);
}

app_callback_code_t exports_hatchery_cluster_receiver_on_message(exports_hatchery_cluster_receiver_message_t *raw) {
  hatchery_call *call = hatchery_begin(TOLD);
  call->message = hatchery_message_of(raw);
  hatchery_on_message(&call->message);
  exports_hatchery_cluster_receiver_on_message_return();
  return hatchery_next(call);
}

app_callback_code_t exports_hatchery_cluster_responder_on_request(exports_hatchery_cluster_responder_message_t *raw) {
  hatchery_call *call = hatchery_begin(REQUEST);
  call->message = hatchery_message_of(raw);
  hatchery_on_request(call, &call->message);
  return hatchery_next(call);
}

app_callback_code_t exports_hatchery_cluster_task_run(app_string_t *name, app_list_u8_t *maybe) {
  hatchery_call *call = hatchery_begin(TASK);
  call->name = hatchery_take(name->ptr, name->len);
  call->payload = maybe ? hatchery_take(maybe->ptr, maybe->len) : NULL;
  hatchery_run_task(call, call->name, call->payload, maybe ? maybe->len : 0);
  return hatchery_next(call);
}

#define CALLBACK(EXPORT) \
  app_callback_code_t exports_##EXPORT##_callback(app_event_t *event) { return resume(event); }
CALLBACK(hatchery_cluster_lifecycle_start)
CALLBACK(hatchery_cluster_lifecycle_cluster_ready)
CALLBACK(hatchery_cluster_lifecycle_processes_changed)
CALLBACK(hatchery_cluster_lifecycle_stop)
CALLBACK(hatchery_cluster_receiver_on_message)
CALLBACK(hatchery_cluster_responder_on_request)
CALLBACK(hatchery_cluster_task_run)
CALLBACK(wasi_http_handler_handle)

/* ---- Answers. */

static void end(hatchery_call *call, const char *reason) {
  exports_hatchery_cluster_lifecycle_result_void_string_t result = {.is_err = reason != NULL};
  if (reason) result.val.err = hatchery_borrow(reason);
  if (call->kind == START) exports_hatchery_cluster_lifecycle_start_return(result);
  if (call->kind == TASK) exports_hatchery_cluster_task_run_return(result);
}

void hatchery_done(hatchery_call *call) {
  if (hatchery_ends(call)) end(call, NULL);
}

void hatchery_answer(hatchery_call *call, const void *data, size_t length) {
  if (call->kind != REQUEST || !hatchery_ends(call)) return;
  exports_hatchery_cluster_responder_result_list_u8_string_t result = {.is_err = false};
  result.val.ok = (app_list_u8_t){(uint8_t *)data, length};
  exports_hatchery_cluster_responder_on_request_return(result);
}

void hatchery_fail(hatchery_call *call, const char *reason) {
  if (call->is_over) return;
  fprintf(stderr, "failed: %s\n", reason);
  if (call->kind == HTTP) {
    static const char text[] = "the guest failed on this request; its log says why\n";
    hatchery_respond(call, 500, "text/plain", text, sizeof text - 1);
  } else if (!hatchery_ends(call)) {
    return;
  } else if (call->kind == REQUEST) {
    exports_hatchery_cluster_responder_result_list_u8_string_t result = {.is_err = true};
    result.val.err = hatchery_borrow(reason);
    exports_hatchery_cluster_responder_on_request_return(result);
  } else {
    end(call, reason);
  }
}

/* ---- Questions. */

static void answered(hatchery_call *call, wait *self) {
  hatchery_question question = self->question;
  bool is_err = self->answer.one.is_err;
  hatchery_replied_one(&question, self->pid, &self->answer.one.val.ok, is_err ? &self->answer.one.val.err : NULL);
  hatchery_drop(call, self);
}

static void answered_all(hatchery_call *call, wait *self) {
  hatchery_question question = self->question;
  bool is_err = self->answer.all.is_err;
  hatchery_replied_all(&question, &self->answer.all.val.ok, is_err ? &self->answer.all.val.err : NULL);
  hatchery_drop(call, self);
}

static void then_one(hatchery_call *call, wait *self, uint32_t code) {
  if (code != APP_SUBTASK_RETURNED) return;
  app_waitable_join(self->handle, 0);
  app_subtask_drop(self->handle);
  self->handle = 0;
  answered(call, self);
}

static void then_all(hatchery_call *call, wait *self, uint32_t code) {
  if (code != APP_SUBTASK_RETURNED) return;
  app_waitable_join(self->handle, 0);
  app_subtask_drop(self->handle);
  self->handle = 0;
  answered_all(call, self);
}

/* A wait that has no handle yet, with copies of what is asked: the host may read them later. */
static wait *ask(hatchery_question *q, void (*then)(hatchery_call *, wait *, uint32_t), app_string_t *action, app_list_u8_t *data) {
  wait *self = hatchery_must(calloc(1, sizeof *self));
  self->then = then;
  self->question = *q;
  self->question.action = hatchery_take(hatchery_copy(q->action, strlen(q->action)), strlen(q->action));
  self->question.data = hatchery_take(hatchery_copy(q->data, q->length), q->length);
  self->next = hatchery_current->waits;
  hatchery_current->waits = self;
  *action = hatchery_borrow(self->question.action);
  *data = (app_list_u8_t){(uint8_t *)self->question.data, q->length};
  return self;
}

/* Waits for the answer, unless it is there. */
static void asked(wait *self, app_subtask_status_t status) {
  if (APP_SUBTASK_STATE(status) == APP_SUBTASK_RETURNED) {
    self->then == then_one ? answered(hatchery_current, self) : answered_all(hatchery_current, self);
    return;
  }
  self->handle = APP_SUBTASK_HANDLE(status);
  if (!hatchery_current->set) hatchery_current->set = app_waitable_set_new();
  app_waitable_join(self->handle, hatchery_current->set);
}

void hatchery_ask_agent(hatchery_question q) {
  app_string_t action;
  app_list_u8_t data;
  wait *self = ask(&q, then_one, &action, &data);
  self->asked.agent = (hatchery_cluster_requests_ask_agent_args_t){action, data, q.timeout * 1000000};
  asked(self, hatchery_cluster_requests_ask_agent(&self->asked.agent, &self->answer.one));
}

void hatchery_ask(uint64_t pid, hatchery_question q) {
  app_string_t action;
  app_list_u8_t data;
  wait *self = ask(&q, then_one, &action, &data);
  self->pid = pid;
  self->asked.one = (hatchery_cluster_requests_ask_args_t){pid, action, data, q.timeout * 1000000};
  asked(self, hatchery_cluster_requests_ask(&self->asked.one, &self->answer.one));
}

void hatchery_ask_app(hatchery_question q) {
  app_string_t action;
  app_list_u8_t data;
  wait *self = ask(&q, then_all, &action, &data);
  self->asked.all = (hatchery_cluster_requests_ask_app_args_t){action, data, q.timeout * 1000000};
  asked(self, hatchery_cluster_requests_ask_app(&self->asked.all, &self->answer.all));
}
