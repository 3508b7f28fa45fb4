/* What the files of the SDK share. Guests do not include it. */
#ifndef HATCHERY_INTERNAL_H
#define HATCHERY_INTERNAL_H

#include "app.h"
#include "hatchery.h"

/* A copy with a 0 at its end, for the guest. Frees the original. */
char *hatchery_take(uint8_t *data, size_t length);
/* A copy for the bindings, which free it. */
uint8_t *hatchery_copy(const void *data, size_t length);
app_string_t hatchery_borrow(const char *text);

hatchery_process hatchery_process_of(const hatchery_cluster_types_process_t *raw);
/* Takes the strings of `raw`; hatchery_message_free frees them. */
hatchery_message hatchery_message_of(hatchery_cluster_types_message_t *raw);
void hatchery_message_free(hatchery_message *message);
void hatchery_tell_processes(const hatchery_cluster_types_process_t *raw, size_t count);

/* A method's name; frees `raw`. */
char *hatchery_method(wasi_http_types_method_t *raw);

const char *hatchery_ask_reason(const hatchery_cluster_requests_ask_error_t *error);
/* Calls `then` with them and frees them. */
void hatchery_replied_one(const hatchery_question *question, uint64_t pid, app_list_u8_t *data,
                          hatchery_cluster_requests_ask_error_t *error);
void hatchery_replied_all(const hatchery_question *question, hatchery_cluster_requests_list_answer_t *answers,
                          hatchery_cluster_requests_ask_error_t *error);

#endif
