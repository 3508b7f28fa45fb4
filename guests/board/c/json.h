/* As much of JSON as the board needs: finding values in a text without building anything, and writing strings. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One value in a text; `at` is NULL where there is none. */
typedef struct { const char *at, *end; } json;

json json_of(const char *text, size_t length);
/* The value of an object's member. */
json json_member(json object, const char *name);
/* Takes the first element off an array's rest, which json_elements begins. */
json json_elements(json array);
bool json_next(json *rest, json *element);
/* False where it is not a number from 0 on. */
bool json_number(json value, uint64_t *number);

/* The text as a JSON string, to be freed; NULL where it is not UTF-8. */
char *json_string(const char *text, size_t length);

#endif
