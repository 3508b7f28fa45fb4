/* The exports, HTTP and questions on WASI 0.3: many calls at once. Each export is a task that keeps what it waits
 * for in a list, and is called back for one of them at a time:
 *
 *   export ──► the guest's function ──► WAIT while there are waits ──► EXIT
 *                  ▲                        │ an event
 *                  └── the wait's `then` ◄──┘
 */

#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_SIZE 16384

typedef wasi_http_types_result_option_own_trailers_error_code_t trailers_t;
typedef wasi_http_types_result_void_error_code_t consumed_t;
typedef struct wait wait;

/* One thing that a call waits for. */
struct wait {
  uint32_t handle;
  /* Gives the wait up with drop(), or starts it again. */
  void (*then)(hatchery_call *call, wait *self, uint32_t code);
  wait *next;
  /* Of a question. */
  hatchery_question question;
  uint64_t pid;
  union {
    hatchery_cluster_requests_ask_agent_args_t agent;
    hatchery_cluster_requests_ask_args_t one;
    hatchery_cluster_requests_ask_app_args_t all;
  } asked;
  union {
    hatchery_cluster_requests_result_list_u8_ask_error_t one;
    hatchery_cluster_requests_result_list_answer_ask_error_t all;
  } answer;
};

struct hatchery_call {
  enum { START, TOLD, REQUEST, TASK, HTTP } kind;
  bool is_over;
  app_waitable_set_t set;
  wait *waits;
  /* What the guest was given. */
  hatchery_message message;
  char *name, *payload;
  hatchery_request request;
  /* The request's body while it comes, the response's while it goes. */
  wasi_http_types_stream_u8_t in;
  wasi_http_types_stream_u8_writer_t out;
  uint8_t *data;
  size_t at, length;
  consumed_t consumed;
  trailers_t trailers;
};

/* The call whose export or callback runs. */
static hatchery_call *current;

static void *must(void *memory) {
  if (!memory) abort();
  return memory;
}

static hatchery_call *begin(int kind) {
  current = must(calloc(1, sizeof *current));
  current->kind = kind;
  app_context_set_0(current);
  return current;
}

static wait *wait_for(hatchery_call *call, uint32_t handle, void (*then)(hatchery_call *, wait *, uint32_t)) {
  wait *self = must(calloc(1, sizeof *self));
  if (!call->set) call->set = app_waitable_set_new();
  self->handle = handle;
  self->then = then;
  self->next = call->waits;
  call->waits = self;
  app_waitable_join(handle, call->set);
  return self;
}

static void drop(hatchery_call *call, wait *self) {
  wait **place = &call->waits;
  while (*place != self) place = &(*place)->next;
  *place = self->next;
  if (self->handle) app_waitable_join(self->handle, 0);
  free((void *)self->question.action);
  free((void *)self->question.data);
  free(self);
}

static app_callback_code_t next(hatchery_call *call) {
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
  hatchery_call *call = current = app_context_get_0();
  for (wait *one = call->waits; one; one = one->next) {
    if (one->handle != event->waitable) continue;
    one->then(call, one, event->code);
    break;
  }
  return next(call);
}

/* Only the running call can be answered: an answer belongs to its task. */
static bool ends(hatchery_call *call) {
  if (call->is_over || call != current) return false;
  return call->is_over = true;
}

/* ---- Exports of the cluster. */

app_callback_code_t exports_hatchery_cluster_lifecycle_start(void) {
  hatchery_call *call = begin(START);
  hatchery_start(call);
  return next(call);
}

app_callback_code_t exports_hatchery_cluster_lifecycle_cluster_ready(void) {
  hatchery_call *call = begin(TOLD);
  hatchery_cluster_ready();
  exports_hatchery_cluster_lifecycle_cluster_ready_return();
  return next(call);
}

app_callback_code_t
exports_hatchery_cluster_lifecycle_processes_changed(exports_hatchery_cluster_lifecycle_list_process_t *processes) {
  hatchery_call *call = begin(TOLD);
  hatchery_tell_processes(processes->ptr, processes->len);
  exports_hatchery_cluster_lifecycle_list_process_free(processes);
  exports_hatchery_cluster_lifecycle_processes_changed_return();
  return next(call);
}

app_callback_code_t exports_hatchery_cluster_lifecycle_stop(void) {
  hatchery_call *call = begin(TOLD);
  hatchery_stop();
  exports_hatchery_cluster_lifecycle_stop_return();
  return next(call);
}

app_callback_code_t exports_hatchery_cluster_receiver_on_message(exports_hatchery_cluster_receiver_message_t *raw) {
  hatchery_call *call = begin(TOLD);
  call->message = hatchery_message_of(raw);
  hatchery_on_message(&call->message);
  exports_hatchery_cluster_receiver_on_message_return();
  return next(call);
}

app_callback_code_t exports_hatchery_cluster_responder_on_request(exports_hatchery_cluster_responder_message_t *raw) {
  hatchery_call *call = begin(REQUEST);
  call->message = hatchery_message_of(raw);
  hatchery_on_request(call, &call->message);
  return next(call);
}

app_callback_code_t exports_hatchery_cluster_task_run(app_string_t *name, app_list_u8_t *maybe) {
  hatchery_call *call = begin(TASK);
  call->name = hatchery_take(name->ptr, name->len);
  call->payload = maybe ? hatchery_take(maybe->ptr, maybe->len) : NULL;
  hatchery_run_task(call, call->name, call->payload, maybe ? maybe->len : 0);
  return next(call);
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
  if (ends(call)) end(call, NULL);
}

void hatchery_answer(hatchery_call *call, const void *data, size_t length) {
  if (call->kind != REQUEST || !ends(call)) return;
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
  } else if (!ends(call)) {
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
  drop(call, self);
}

static void answered_all(hatchery_call *call, wait *self) {
  hatchery_question question = self->question;
  bool is_err = self->answer.all.is_err;
  hatchery_replied_all(&question, &self->answer.all.val.ok, is_err ? &self->answer.all.val.err : NULL);
  drop(call, self);
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
  wait *self = must(calloc(1, sizeof *self));
  self->then = then;
  self->question = *q;
  self->question.action = hatchery_take(hatchery_copy(q->action, strlen(q->action)), strlen(q->action));
  self->question.data = hatchery_take(hatchery_copy(q->data, q->length), q->length);
  self->next = current->waits;
  current->waits = self;
  *action = hatchery_borrow(self->question.action);
  *data = (app_list_u8_t){(uint8_t *)self->question.data, q->length};
  return self;
}

/* Waits for the answer, unless it is there. */
static void asked(wait *self, app_subtask_status_t status) {
  if (APP_SUBTASK_STATE(status) == APP_SUBTASK_RETURNED) {
    self->then == then_one ? answered(current, self) : answered_all(current, self);
    return;
  }
  self->handle = APP_SUBTASK_HANDLE(status);
  if (!current->set) current->set = app_waitable_set_new();
  app_waitable_join(self->handle, current->set);
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

/* ---- HTTP: the body is read, then the guest is called, then the response's body is written. */

static void read_on(hatchery_call *call);

/* True while there may be more. */
static bool have_read(hatchery_call *call, app_waitable_status_t status) {
  call->length += APP_WAITABLE_COUNT(status);
  if (APP_WAITABLE_STATE(status) == APP_WAITABLE_COMPLETED) return true;
  wasi_http_types_stream_u8_drop_readable(call->in);
  if (!call->length) free(call->data);
  call->request.body = hatchery_take(call->data, call->length);
  call->request.length = call->length;
  call->data = NULL;
  call->at = call->length = 0;
  hatchery_handle(call, &call->request);
  return false;
}

static void then_read(hatchery_call *call, wait *self, uint32_t code) {
  drop(call, self);
  if (have_read(call, code)) read_on(call);
}

static void read_on(hatchery_call *call) {
  app_waitable_status_t status;
  do {
    call->data = must(realloc(call->data, call->length + READ_SIZE));
    status = wasi_http_types_stream_u8_read(call->in, call->data + call->length, READ_SIZE);
    if (status == APP_WAITABLE_STATUS_BLOCKED) {
      wait_for(call, call->in, then_read);
      return;
    }
  } while (have_read(call, status));
}

static void then_consumed(hatchery_call *call, wait *self, uint32_t code) {
  uint32_t handle = self->handle;
  (void)code;
  drop(call, self);
  wasi_http_types_future_result_void_error_code_drop_writable(handle);
}

app_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t incoming) {
  hatchery_call *call = begin(HTTP);
  wasi_http_types_method_t method;
  app_string_t target = {0};
  wasi_http_types_borrow_request_t borrowed = wasi_http_types_borrow_request(incoming);
  wasi_http_types_method_request_get_method(borrowed, &method);
  call->request.method = hatchery_method(&method);
  wasi_http_types_method_request_get_path_with_query(borrowed, &target);
  call->request.target = hatchery_take(target.ptr, target.len);

  wasi_http_types_future_result_void_error_code_writer_t consumed;
  wasi_http_types_future_result_void_error_code_t told = wasi_http_types_future_result_void_error_code_new(&consumed);
  wasi_http_types_tuple2_stream_u8_future_result_option_own_trailers_error_code_t body;
  wasi_http_types_static_request_consume_body(incoming, told, &body);
  wasi_http_types_future_result_option_own_trailers_error_code_drop_readable(body.f1);
  call->in = body.f0;
  if (wasi_http_types_future_result_void_error_code_write(consumed, &call->consumed) == APP_WAITABLE_STATUS_BLOCKED)
    wait_for(call, consumed, then_consumed);
  else
    wasi_http_types_future_result_void_error_code_drop_writable(consumed);
  read_on(call);
  return next(call);
}

static void write_on(hatchery_call *call);

static void have_written(hatchery_call *call, app_waitable_status_t status) {
  call->at += APP_WAITABLE_COUNT(status);
  /* Else the client is gone. */
  if (APP_WAITABLE_STATE(status) != APP_WAITABLE_COMPLETED) call->at = call->length;
}

static void then_written(hatchery_call *call, wait *self, uint32_t code) {
  drop(call, self);
  have_written(call, code);
  write_on(call);
}

static void write_on(hatchery_call *call) {
  while (call->at < call->length) {
    app_waitable_status_t status = wasi_http_types_stream_u8_write(call->out, call->data + call->at, call->length - call->at);
    if (status == APP_WAITABLE_STATUS_BLOCKED) {
      wait_for(call, call->out, then_written);
      return;
    }
    have_written(call, status);
  }
  wasi_http_types_stream_u8_drop_writable(call->out);
}

static void then_trailers(hatchery_call *call, wait *self, uint32_t code) {
  uint32_t handle = self->handle;
  (void)code;
  drop(call, self);
  wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(handle);
}

void hatchery_respond(hatchery_call *call, int status, const char *type, const void *data, size_t length) {
  if (call->kind != HTTP || !ends(call)) return;
  wasi_http_types_tuple2_field_name_field_value_t header = {hatchery_borrow("content-type"), {(uint8_t *)type, strlen(type)}};
  wasi_http_types_list_tuple2_field_name_field_value_t headers = {&header, 1};
  wasi_http_types_own_fields_t fields;
  wasi_http_types_header_error_t wrong;
  if (!wasi_http_types_static_fields_from_list(&headers, &fields, &wrong)) fields = wasi_http_types_constructor_fields();
  call->data = hatchery_copy(data, length);
  call->length = length;
  /* A write of nothing would wait for a reader that may not come. */
  wasi_http_types_stream_u8_t body;
  if (length) body = wasi_http_types_stream_u8_new(&call->out);
  wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers;
  wasi_http_types_future_result_option_own_trailers_error_code_t end_of_it =
      wasi_http_types_future_result_option_own_trailers_error_code_new(&trailers);
  wasi_http_types_tuple2_own_response_future_result_void_error_code_t response;
  wasi_http_types_static_response_new(fields, length ? &body : NULL, end_of_it, &response);
  wasi_http_types_future_result_void_error_code_drop_readable(response.f1);
  wasi_http_types_method_response_set_status_code(wasi_http_types_borrow_response(response.f0), status);
  exports_wasi_http_handler_result_own_response_error_code_t result = {.is_err = false};
  result.val.ok = response.f0;
  exports_wasi_http_handler_handle_return(result);
  if (length) write_on(call);
  /* Left unwritten, the trailers would keep handles of the host. */
  if (wasi_http_types_future_result_option_own_trailers_error_code_write(trailers, &call->trailers) == APP_WAITABLE_STATUS_BLOCKED)
    wait_for(call, trailers, then_trailers);
  else
    wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(trailers);
}
