/* The exports, HTTP and questions on WASI 0.2, where everything waits and one call runs at a time. */

#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_READ 65536
#define MAX_WRITE 4096 /* what wasi:io takes in one blocking write */

/* Where a call's answer is kept until the export returns. */
struct hatchery_call {
  bool is_over, is_http;
  const char *failure; /* NULL, or a copy */
  app_list_u8_t data;
  wasi_http_types_own_response_outparam_t out;
};

static bool ends(hatchery_call *call) {
  if (call->is_over) return false;
  return call->is_over = true;
}

void hatchery_done(hatchery_call *call) { ends(call); }

void hatchery_answer(hatchery_call *call, const void *data, size_t length) {
  if (ends(call)) call->data = (app_list_u8_t){hatchery_copy(data, length), length};
}

void hatchery_fail(hatchery_call *call, const char *reason) {
  if (call->is_over) return;
  fprintf(stderr, "failed: %s\n", reason);
  if (call->is_http) {
    static const char text[] = "the guest failed on this request; its log says why\n";
    hatchery_respond(call, 500, "text/plain", text, sizeof text - 1);
  } else if (ends(call)) {
    call->failure = hatchery_take(hatchery_copy(reason, strlen(reason)), strlen(reason));
  }
}

/* A call as an export's result: the error is written where there was one. */
static bool result_of(hatchery_call *call, app_list_u8_t *data, app_string_t *error) {
  if (!call->is_over) hatchery_fail(call, "the guest gave no answer");
  if (call->failure) {
    *error = (app_string_t){(uint8_t *)call->failure, strlen(call->failure)};
    return false;
  }
  if (data) *data = call->data;
  return true;
}

bool exports_hatchery_cluster_lifecycle_start(app_string_t *error) {
  hatchery_call call = {0};
  hatchery_start(&call);
  return result_of(&call, NULL, error);
}

void exports_hatchery_cluster_lifecycle_cluster_ready(void) { hatchery_cluster_ready(); }

void exports_hatchery_cluster_lifecycle_processes_changed(exports_hatchery_cluster_lifecycle_list_process_t *processes) {
  hatchery_tell_processes(processes->ptr, processes->len);
  exports_hatchery_cluster_lifecycle_list_process_free(processes);
}

void exports_hatchery_cluster_lifecycle_stop(void) { hatchery_stop(); }

void exports_hatchery_cluster_receiver_on_message(exports_hatchery_cluster_receiver_message_t *raw) {
  hatchery_message message = hatchery_message_of(raw);
  hatchery_on_message(&message);
  hatchery_message_free(&message);
}

bool exports_hatchery_cluster_responder_on_request(exports_hatchery_cluster_responder_message_t *raw, app_list_u8_t *data,
                                                   app_string_t *error) {
  hatchery_call call = {0};
  hatchery_message request = hatchery_message_of(raw);
  hatchery_on_request(&call, &request);
  hatchery_message_free(&request);
  return result_of(&call, data, error);
}

bool exports_hatchery_cluster_task_run(app_string_t *raw, app_list_u8_t *maybe, app_string_t *error) {
  hatchery_call call = {0};
  char *name = hatchery_take(raw->ptr, raw->len);
  char *payload = maybe ? hatchery_take(maybe->ptr, maybe->len) : NULL;
  hatchery_run_task(&call, name, payload, maybe ? maybe->len : 0);
  free(payload);
  free(name);
  return result_of(&call, NULL, error);
}

/* ---- Questions. */

void hatchery_ask_agent(hatchery_question q) {
  app_string_t action = hatchery_borrow(q.action);
  app_list_u8_t data = {(uint8_t *)q.data, q.length}, answer;
  hatchery_cluster_requests_ask_error_t error;
  bool is_ok = hatchery_cluster_requests_ask_agent(&action, &data, q.timeout * 1000000, &answer, &error);
  hatchery_replied_one(&q, 0, &answer, is_ok ? NULL : &error);
}

void hatchery_ask(uint64_t pid, hatchery_question q) {
  app_string_t action = hatchery_borrow(q.action);
  app_list_u8_t data = {(uint8_t *)q.data, q.length}, answer;
  hatchery_cluster_requests_ask_error_t error;
  bool is_ok = hatchery_cluster_requests_ask(pid, &action, &data, q.timeout * 1000000, &answer, &error);
  hatchery_replied_one(&q, pid, &answer, is_ok ? NULL : &error);
}

void hatchery_ask_app(hatchery_question q) {
  app_string_t action = hatchery_borrow(q.action);
  app_list_u8_t data = {(uint8_t *)q.data, q.length};
  hatchery_cluster_requests_list_answer_t answers;
  hatchery_cluster_requests_ask_error_t error;
  bool is_ok = hatchery_cluster_requests_ask_app(&action, &data, q.timeout * 1000000, &answers, &error);
  hatchery_replied_all(&q, &answers, is_ok ? NULL : &error);
}

/* ---- HTTP. */

static char *body_of(wasi_http_types_own_incoming_request_t request, size_t *length) {
  wasi_http_types_own_incoming_body_t body;
  wasi_io_streams_own_input_stream_t in;
  uint8_t *all = NULL;
  *length = 0;
  if (!wasi_http_types_method_incoming_request_consume(wasi_http_types_borrow_incoming_request(request), &body))
    return hatchery_take(NULL, 0);
  wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &in);
  for (;;) {
    app_list_u8_t chunk;
    wasi_io_streams_stream_error_t error;
    if (!wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(in), MAX_READ, &chunk, &error)) {
      wasi_io_streams_stream_error_free(&error);
      break;
    }
    if (!(all = realloc(all, *length + chunk.len + 1))) abort();
    memcpy(all + *length, chunk.ptr, chunk.len);
    *length += chunk.len;
    app_list_u8_free(&chunk);
  }
  wasi_io_streams_input_stream_drop_own(in);
  wasi_http_types_incoming_body_drop_own(body);
  if (!*length) free(all);
  return hatchery_take(all, *length);
}

void exports_wasi_http_incoming_handler_handle(exports_wasi_http_incoming_handler_own_incoming_request_t incoming,
                                               exports_wasi_http_incoming_handler_own_response_outparam_t out) {
  hatchery_call call = {.is_http = true, .out = out};
  wasi_http_types_borrow_incoming_request_t borrowed = wasi_http_types_borrow_incoming_request(incoming);
  wasi_http_types_method_t method;
  app_string_t target = {0};
  hatchery_request request = {0};
  wasi_http_types_method_incoming_request_method(borrowed, &method);
  request.method = hatchery_method(&method);
  wasi_http_types_method_incoming_request_path_with_query(borrowed, &target);
  request.target = hatchery_take(target.ptr, target.len);
  request.body = body_of(incoming, &request.length);
  wasi_http_types_incoming_request_drop_own(incoming);
  hatchery_handle(&call, &request);
  if (!call.is_over) hatchery_fail(&call, "the guest gave no response");
  free((char *)request.method);
  free((char *)request.target);
  free((char *)request.body);
}

void hatchery_respond(hatchery_call *call, int status, const char *type, const void *data, size_t length) {
  if (!ends(call)) return;
  wasi_http_types_tuple2_field_name_field_value_t header = {hatchery_borrow("content-type"), {(uint8_t *)type, strlen(type)}};
  wasi_http_types_list_tuple2_field_name_field_value_t headers = {&header, 1};
  wasi_http_types_own_fields_t fields;
  wasi_http_types_header_error_t wrong;
  if (!wasi_http_types_static_fields_from_list(&headers, &fields, &wrong)) fields = wasi_http_types_constructor_fields();
  wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(fields);
  wasi_http_types_borrow_outgoing_response_t borrowed = wasi_http_types_borrow_outgoing_response(response);
  wasi_http_types_method_outgoing_response_set_status_code(borrowed, status);
  wasi_http_types_own_outgoing_body_t body;
  wasi_http_types_method_outgoing_response_body(borrowed, &body);
  wasi_http_types_result_own_outgoing_response_error_code_t result = {0};
  result.val.ok = response;
  wasi_http_types_static_response_outparam_set(call->out, &result);
  wasi_io_streams_own_output_stream_t stream;
  wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
  for (size_t at = 0; at < length; at += MAX_WRITE) {
    app_list_u8_t chunk = {(uint8_t *)data + at, length - at < MAX_WRITE ? length - at : MAX_WRITE};
    wasi_io_streams_stream_error_t error;
    if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &chunk, &error)) {
      /* The client is gone. */
      wasi_io_streams_stream_error_free(&error);
      break;
    }
  }
  wasi_io_streams_output_stream_drop_own(stream);
  wasi_http_types_error_code_t code;
  if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &code)) wasi_http_types_error_code_free(&code);
}
