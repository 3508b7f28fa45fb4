/* HTTP on WASI 0.3: the body is read, then the guest is called, then the response's body is written. */

#include "wasi-0.3.h"
#include <stdlib.h>
#include <string.h>

#define READ_SIZE 16384

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
  hatchery_drop(call, self);
  if (have_read(call, code)) read_on(call);
}

static void read_on(hatchery_call *call) {
  app_waitable_status_t status;
  do {
    call->data = hatchery_must(realloc(call->data, call->length + READ_SIZE));
    status = wasi_http_types_stream_u8_read(call->in, call->data + call->length, READ_SIZE);
    if (status == APP_WAITABLE_STATUS_BLOCKED) {
      hatchery_wait_for(call, call->in, then_read);
      return;
    }
  } while (have_read(call, status));
}

static void then_consumed(hatchery_call *call, wait *self, uint32_t code) {
  uint32_t handle = self->handle;
  (void)code;
  hatchery_drop(call, self);
  wasi_http_types_future_result_void_error_code_drop_writable(handle);
}

app_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t incoming) {
  hatchery_call *call = hatchery_begin(HTTP);
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
    hatchery_wait_for(call, consumed, then_consumed);
  else
    wasi_http_types_future_result_void_error_code_drop_writable(consumed);
  read_on(call);
  return hatchery_next(call);
}

static void write_on(hatchery_call *call);

static void have_written(hatchery_call *call, app_waitable_status_t status) {
  call->at += APP_WAITABLE_COUNT(status);
  /* Else the client is gone. */
  if (APP_WAITABLE_STATE(status) != APP_WAITABLE_COMPLETED) call->at = call->length;
}

static void then_written(hatchery_call *call, wait *self, uint32_t code) {
  hatchery_drop(call, self);
  have_written(call, code);
  write_on(call);
}

static void write_on(hatchery_call *call) {
  while (call->at < call->length) {
    app_waitable_status_t status = wasi_http_types_stream_u8_write(call->out, call->data + call->at, call->length - call->at);
    if (status == APP_WAITABLE_STATUS_BLOCKED) {
      hatchery_wait_for(call, call->out, then_written);
      return;
    }
    have_written(call, status);
  }
  wasi_http_types_stream_u8_drop_writable(call->out);
}

static void then_trailers(hatchery_call *call, wait *self, uint32_t code) {
  uint32_t handle = self->handle;
  (void)code;
  hatchery_drop(call, self);
  wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(handle);
}

void hatchery_respond(hatchery_call *call, int status, const char *type, const void *data, size_t length) {
  if (call->kind != HTTP || !hatchery_ends(call)) return;
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
    hatchery_wait_for(call, trailers, then_trailers);
  else
    wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(trailers);
}
