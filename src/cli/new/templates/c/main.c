// Answers with how often it was called. The instance lives as long as its process: what a variable holds stays
// from request to request. The functions are those of the world in wit/, declared in build/gen/app.h.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

static unsigned long long calls;

// {{#agent}}
// Asks the agent, which counts for all workers.
static bool count(unsigned long long *total) {
    app_string_t action;
    app_string_set(&action, "call");
    app_list_u8_t data = {0}, answer;
    hatchery_cluster_requests_ask_error_t error;
    if (!hatchery_cluster_requests_ask_agent(&action, &data, 5000000000ull, &answer, &error)) {
        hatchery_cluster_requests_ask_error_free(&error);
        return false;
    }
    char text[32] = {0};
    memcpy(text, answer.ptr, answer.len < sizeof text - 1 ? answer.len : sizeof text - 1);
    app_list_u8_free(&answer);
    *total = strtoull(text, NULL, 10);
    return true;
}
// {{/agent}}
// {{^agent}}
static bool count(unsigned long long *total) {
    *total = ++calls;
    return true;
}
// {{/agent}}

void exports_wasi_http_incoming_handler_handle(exports_wasi_http_incoming_handler_own_incoming_request_t request,
                                               exports_wasi_http_incoming_handler_own_response_outparam_t out) {
    wasi_http_types_incoming_request_drop_own(request);
    unsigned long long total = 0;
    bool counted = count(&total);
    char text[64];
    int length = snprintf(text, sizeof text, counted ? "hello, call %llu\n" : "the agent does not answer\n", total);

    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
    wasi_http_types_method_outgoing_response_set_status_code(
        wasi_http_types_borrow_outgoing_response(response), counted ? 200 : 503);
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), &body);
    wasi_http_types_result_own_outgoing_response_error_code_t result = {0};
    result.val.ok = response;
    wasi_http_types_static_response_outparam_set(out, &result);

    wasi_http_types_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    app_list_u8_t data = {(uint8_t *)text, (size_t)length};
    wasi_io_streams_stream_error_t failure;
    // Failing here means that the client is gone.
    if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(
            wasi_io_streams_borrow_output_stream(stream), &data, &failure))
        wasi_io_streams_stream_error_free(&failure);
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_error_code_t code;
    if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &code)) wasi_http_types_error_code_free(&code);
}

bool exports_hatchery_cluster_lifecycle_start(app_string_t *error) {
    (void)error;
    return true;
}

void exports_hatchery_cluster_lifecycle_cluster_ready(void) {}

void exports_hatchery_cluster_lifecycle_processes_changed(
    exports_hatchery_cluster_lifecycle_list_process_t *processes) {
    exports_hatchery_cluster_lifecycle_list_process_free(processes);
}

void exports_hatchery_cluster_lifecycle_stop(void) {}

void exports_hatchery_cluster_receiver_on_message(exports_hatchery_cluster_receiver_message_t *message) {
    exports_hatchery_cluster_receiver_message_free(message);
}

// Only the agent is asked.
bool exports_hatchery_cluster_responder_on_request(exports_hatchery_cluster_responder_message_t *message,
                                                   app_list_u8_t *answer, app_string_t *error) {
    (void)error;
    exports_hatchery_cluster_responder_message_free(message);
    char text[32];
    int length = snprintf(text, sizeof text, "%llu", ++calls);
    answer->ptr = malloc((size_t)length);
    answer->len = (size_t)length;
    memcpy(answer->ptr, text, (size_t)length);
    return true;
}

bool exports_hatchery_cluster_task_run(app_string_t *name, app_list_u8_t *payload, app_string_t *error) {
    app_string_free(name);
    if (payload) app_list_u8_free(payload);
    app_string_dup(error, "there is no such task");
    return false;
}
