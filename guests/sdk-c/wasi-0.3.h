/* What the files of the SDK share on WASI 0.3: a call as a task, and what it waits for. */
#ifndef HATCHERY_WASI_0_3_H
#define HATCHERY_WASI_0_3_H

#include "internal.h"

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
extern hatchery_call *hatchery_current;

void *hatchery_must(void *memory);
hatchery_call *hatchery_begin(int kind);
wait *hatchery_wait_for(hatchery_call *call, uint32_t handle, void (*then)(hatchery_call *, wait *, uint32_t));
void hatchery_drop(hatchery_call *call, wait *self);
/* What the export or callback returns. */
app_callback_code_t hatchery_next(hatchery_call *call);
/* Marks it as answered; false where it is, or where it is not the running one. */
bool hatchery_ends(hatchery_call *call);

#endif
