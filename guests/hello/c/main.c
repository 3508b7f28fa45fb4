#include <hatchery.h>
#include <stdio.h>

static unsigned calls;

void hatchery_handle(hatchery_call *call, const hatchery_request *request) {
  char text[40];
  int length = snprintf(text, sizeof text, "hello, call %u\n", ++calls);
  hatchery_respond(call, 200, "text/plain", text, (size_t)length);
}
