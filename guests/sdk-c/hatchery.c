/* What is the same on WASI 0.2 and 0.3: messages, who is there, and the defaults of what a guest writes. */

#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
  if (!memory) abort();
  return memory;
}

char *hatchery_take(uint8_t *data, size_t length) {
  /* What is empty the bindings have not allocated. */
  char *copy = must(length ? realloc(data, length + 1) : malloc(1));
  copy[length] = 0;
  return copy;
}

uint8_t *hatchery_copy(const void *data, size_t length) {
  return length ? memcpy(must(malloc(length)), data, length) : NULL;
}

app_string_t hatchery_borrow(const char *text) {
  return (app_string_t){(uint8_t *)text, strlen(text)};
}

hatchery_process hatchery_process_of(const hatchery_cluster_types_process_t *raw) {
  return (hatchery_process){raw->pid, (hatchery_role)raw->role, raw->slot, raw->generation, (hatchery_state)raw->state};
}

hatchery_message hatchery_message_of(hatchery_cluster_types_message_t *raw) {
  hatchery_message message = {
      hatchery_take(raw->action.ptr, raw->action.len), hatchery_take(raw->data.ptr, raw->data.len), raw->data.len, {0}};
  message.sender.pid = raw->sender.pid;
  message.sender.role = (hatchery_role)raw->sender.role;
  message.sender.slot = raw->sender.slot;
  return message;
}

void hatchery_message_free(hatchery_message *message) {
  free((char *)message->action);
  free((char *)message->data);
}

void hatchery_tell_processes(const hatchery_cluster_types_process_t *raw, size_t count) {
  hatchery_process *processes = must(calloc(count + 1, sizeof *processes));
  for (size_t i = 0; i < count; i++) processes[i] = hatchery_process_of(&raw[i]);
  hatchery_processes_changed(processes, count);
  free(processes);
}

char *hatchery_method(wasi_http_types_method_t *raw) {
  static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  if (raw->tag == WASI_HTTP_TYPES_METHOD_OTHER) return hatchery_take(raw->val.other.ptr, raw->val.other.len);
  const char *name = names[raw->tag];
  return hatchery_take(hatchery_copy(name, strlen(name)), strlen(name));
}

/* ---- Messages. */

static const char *sent(bool is_ok, hatchery_cluster_messenger_error_t *error) {
  static const char *const reasons[] = {"invalid action", "larger than message-size", "too many messages queued",
                                        "no such process", "this process is stopping"};
  if (is_ok) return NULL;
  const char *reason = reasons[error->tag];
  hatchery_cluster_messenger_error_free(error);
  return reason;
}

#define SEND(NAME)                                                                                \
  const char *hatchery_##NAME(const char *action, const void *data, size_t length) {              \
    app_string_t name = hatchery_borrow(action);                                                  \
    app_list_u8_t list = {(uint8_t *)data, length};                                               \
    hatchery_cluster_messenger_error_t error;                                                     \
    return sent(hatchery_cluster_messenger_##NAME(&name, &list, &error), &error);                 \
  }
SEND(broadcast)
SEND(send_to_app)
SEND(send_to_agent)
SEND(send_random)

const char *hatchery_send_to(uint64_t pid, const char *action, const void *data, size_t length) {
  app_string_t name = hatchery_borrow(action);
  app_list_u8_t list = {(uint8_t *)data, length};
  hatchery_cluster_messenger_error_t error;
  return sent(hatchery_cluster_messenger_send_to(pid, &name, &list, &error), &error);
}

/* ---- Answers to questions. */

const char *hatchery_ask_reason(const hatchery_cluster_requests_ask_error_t *error) {
  static const char *const reasons[] = {"no answer in time", "no such process", "the process has no responder", "failed",
                                        "too many open questions", "invalid action", "larger than message-size"};
  return reasons[error->tag];
}

static hatchery_reply reply_of(uint64_t pid, app_list_u8_t *data, hatchery_cluster_requests_ask_error_t *error) {
  if (error) return (hatchery_reply){pid, hatchery_ask_reason(error), "", 0};
  return (hatchery_reply){pid, NULL, hatchery_take(data->ptr, data->len), data->len};
}

static void free_reply(hatchery_reply *reply) {
  if (!reply->error) free((char *)reply->data);
}

void hatchery_replied_one(const hatchery_question *question, uint64_t pid, app_list_u8_t *data,
                          hatchery_cluster_requests_ask_error_t *error) {
  hatchery_reply reply = reply_of(pid, data, error);
  question->then(question->context, &reply, 1);
  free_reply(&reply);
  if (error) hatchery_cluster_requests_ask_error_free(error);
}

void hatchery_replied_all(const hatchery_question *question, hatchery_cluster_requests_list_answer_t *answers,
                          hatchery_cluster_requests_ask_error_t *error) {
  if (error) {
    hatchery_replied_one(question, 0, NULL, error);
    return;
  }
  hatchery_reply *replies = must(calloc(answers->len + 1, sizeof *replies));
  for (size_t i = 0; i < answers->len; i++) {
    hatchery_cluster_requests_answer_t *answer = &answers->ptr[i];
    bool is_err = answer->result.is_err;
    replies[i] = reply_of(answer->pid, &answer->result.val.ok, is_err ? &answer->result.val.err : NULL);
    if (is_err) hatchery_cluster_requests_ask_error_free(&answer->result.val.err);
  }
  question->then(question->context, replies, answers->len);
  for (size_t i = 0; i < answers->len; i++) free_reply(&replies[i]);
  free(replies);
  free(answers->ptr);
}

/* ---- Who is there. */

hatchery_process hatchery_self(void) {
  hatchery_cluster_cluster_process_t raw;
  hatchery_cluster_cluster_self(&raw);
  return hatchery_process_of(&raw);
}

size_t hatchery_processes(hatchery_process *processes, size_t room) {
  hatchery_cluster_cluster_list_process_t raw;
  hatchery_cluster_cluster_processes(&raw);
  for (size_t i = 0; i < raw.len && i < room; i++) processes[i] = hatchery_process_of(&raw.ptr[i]);
  size_t count = raw.len;
  hatchery_cluster_cluster_list_process_free(&raw);
  return count;
}

/* ---- Where a guest writes nothing. */
#define DEFAULT __attribute__((weak)) void

DEFAULT hatchery_handle(hatchery_call *call, const hatchery_request *request) {
  hatchery_respond(call, 404, "text/plain", "not found\n", 10);
}
DEFAULT hatchery_start(hatchery_call *call) { hatchery_done(call); }
DEFAULT hatchery_cluster_ready(void) {}
DEFAULT hatchery_processes_changed(const hatchery_process *processes, size_t count) { (void)count; }
DEFAULT hatchery_stop(void) {}
DEFAULT hatchery_on_message(const hatchery_message *message) {}
DEFAULT hatchery_on_request(hatchery_call *call, const hatchery_message *request) { hatchery_fail(call, "no answer to this"); }
DEFAULT hatchery_run_task(hatchery_call *call, const char *name, const char *payload, size_t length) {
  hatchery_fail(call, "no task of this name");
}
