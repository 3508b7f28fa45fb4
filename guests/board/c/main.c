/* The board in C: see ../README.md for what is said between processes. */

#include "json.h"
#include "notes.h"
#include <hatchery.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define MAX_TEXT 1000 /* bytes */
#define TIMEOUT 5000  /* milliseconds */

static uint64_t now(void) {
  struct timeval time;
  gettimeofday(&time, NULL);
  return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_usec / 1000;
}

static void json_response(hatchery_call *call, int status, const char *text) {
  hatchery_respond(call, status, "application/json", text, strlen(text));
}

static void text_response(hatchery_call *call, int status, const char *text) {
  hatchery_respond(call, status, "text/plain", text, strlen(text));
}

static void have_list(void *context, const hatchery_reply *replies, size_t count) {
  bool is_worker = hatchery_self().role == HATCHERY_WORKER;
  for (size_t i = 0; i < count; i++) {
    /* For an agent no worker is there yet, but when it is a replacement. */
    if (replies[i].error && is_worker) {
      hatchery_fail(context, replies[i].error);
      return;
    }
    if (!replies[i].error && !notes_merge(json_of(replies[i].data, replies[i].length))) fputs("no list of notes\n", stderr);
  }
  hatchery_done(context);
}

void hatchery_start(hatchery_call *call) {
  hatchery_question list = {.action = "list", .timeout = TIMEOUT, .then = have_list, .context = call};
  if (hatchery_self().role == HATCHERY_WORKER) hatchery_ask_agent(list);
  else hatchery_ask_app(list);
}

static void have_added(void *context, const hatchery_reply *reply, size_t count) {
  if (reply->error || !notes_add(json_of(reply->data, reply->length))) {
    hatchery_fail(context, reply->error ? reply->error : "the agent's answer is no note");
    return;
  }
  hatchery_respond(context, 201, "application/json", reply->data, reply->length);
}

static void post(hatchery_call *call, const hatchery_request *request) {
  char *string;
  if (request->length > MAX_TEXT) {
    text_response(call, 413, "a note has at most 1000 bytes\n");
  } else if (request->length == 0 || !(string = json_string(request->body, request->length))) {
    text_response(call, 400, "a note is text\n");
  } else {
    free(string);
    hatchery_ask_agent((hatchery_question){"add", request->body, request->length, TIMEOUT, have_added, call});
  }
}

static void where(hatchery_call *call) {
  char text[64];
  snprintf(text, sizeof text, "{\"slot\":%" PRIu32 ",\"language\":\"c\"}", hatchery_self().slot);
  json_response(call, 200, text);
}

void hatchery_handle(hatchery_call *call, const hatchery_request *request) {
  size_t path = strcspn(request->target, "?");
#define IS(METHOD, PATH) (!strcmp(request->method, METHOD) && path == strlen(PATH) && !memcmp(request->target, PATH, path))
  if (IS("GET", "/")) {
    char *all = notes_all();
    json_response(call, 200, all);
    free(all);
  } else if (IS("POST", "/")) {
    post(call, request);
  } else if (IS("GET", "/where")) {
    where(call);
  } else if (IS("GET", "/fail")) {
    fputs("asked to fail\n", stderr);
    abort();
  } else {
    text_response(call, 404, "not found\n");
  }
}

void hatchery_on_message(const hatchery_message *message) {
  json data = json_of(message->data, message->length);
  uint64_t id;
  if (!strcmp(message->action, "added")) {
    if (!notes_add(data)) fputs("not a note was added\n", stderr);
  } else if (!strcmp(message->action, "drop")) {
    if (json_number(data, &id)) notes_drop_to(id);
  }
}

static void broadcast_drop(uint64_t id) {
  char text[32];
  int length = snprintf(text, sizeof text, "%" PRIu64, id);
  if (id) hatchery_broadcast("drop", text, (size_t)length);
}

void hatchery_on_request(hatchery_call *call, const hatchery_message *request) {
  if (!strcmp(request->action, "list")) {
    char *list = notes_list();
    hatchery_answer(call, list, strlen(list));
    free(list);
  } else if (!strcmp(request->action, "add")) {
    const char *note = notes_new(request->data, request->length, now());
    const char *refused = note ? hatchery_broadcast("added", note, strlen(note)) : "the text is not utf-8";
    if (refused) {
      hatchery_fail(call, refused);
      return;
    }
    hatchery_answer(call, note, strlen(note));
    broadcast_drop(notes_surplus());
  } else {
    hatchery_fail(call, "no answer to this");
  }
}

void hatchery_run_task(hatchery_call *call, const char *name, const char *payload, size_t length) {
  if (strcmp(name, "expire")) {
    hatchery_fail(call, "no task of this name");
    return;
  }
  const char *keep = getenv("BOARD_KEEP");
  uint64_t age = (keep ? strtoull(keep, NULL, 10) : 600) * 1000, time = now();
  broadcast_drop(notes_older(age < time ? time - age : 0));
  hatchery_done(call);
}
