#include "json.h"
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static const json nothing = {NULL, NULL};

static const char *space(const char *at, const char *end) {
  while (at < end && strchr(" \t\r\n", *at) && *at) at++;
  return at;
}

/* Past the string that begins here, or NULL. */
static const char *past_string(const char *at, const char *end) {
  for (at++; at < end; at++) {
    if (*at == '"') return at + 1;
    if (*at == '\\') at++;
  }
  return NULL;
}

/* Past the value that begins here, or NULL. */
static const char *past(const char *at, const char *end) {
  int depth = 0;
  while (at && at < end) {
    if (*at == '"') {
      at = past_string(at, end);
    } else if (*at == '{' || *at == '[') {
      depth++, at++;
      continue;
    } else if (*at == '}' || *at == ']') {
      if (depth == 0) return NULL;
      depth--, at++;
    } else if (*at == ',' || *at == ':') {
      at++;
      continue;
    } else {
      const char *word = at;
      while (at < end && *at && !strchr(" \t\r\n,:]}\"[{", *at)) at++;
      if (at == word) at = at + 1;
    }
    if (depth == 0) return at;
  }
  return NULL;
}

json json_of(const char *text, size_t length) {
  const char *end = text + length, *at = space(text, end), *after = at < end ? past(at, end) : NULL;
  return after && space(after, end) == end ? (json){at, after} : nothing;
}

json json_elements(json array) {
  if (!array.at || *array.at != '[') return nothing;
  return (json){array.at + 1, array.end - 1};
}

bool json_next(json *rest, json *element) {
  if (!rest->at) return false;
  const char *at = space(rest->at, rest->end);
  if (at >= rest->end) return false;
  const char *after = past(at, rest->end);
  if (!after) return false;
  *element = (json){at, after};
  after = space(after, rest->end);
  rest->at = after < rest->end && *after == ',' ? after + 1 : rest->end;
  return true;
}

json json_member(json object, const char *name) {
  if (!object.at || *object.at != '{') return nothing;
  const char *at = object.at + 1, *end = object.end - 1;
  while ((at = space(at, end)) < end && *at == '"') {
    const char *after = past_string(at, end), *value, *past_value;
    if (!after || (value = space(after, end)) >= end || *value != ':') return nothing;
    value = space(value + 1, end);
    if (value >= end || !(past_value = past(value, end))) return nothing;
    if ((size_t)(after - at) == strlen(name) + 2 && !memcmp(at + 1, name, strlen(name))) return (json){value, past_value};
    at = space(past_value, end);
    if (at >= end || *at++ != ',') return nothing;
  }
  return nothing;
}

bool json_number(json value, uint64_t *number) {
  if (!value.at || value.end - value.at > 19) return false;
  *number = 0;
  for (const char *at = value.at; at < value.end; at++) {
    if (*at < '0' || *at > '9') return false;
    *number = *number * 10 + (uint64_t)(*at - '0');
  }
  return value.end > value.at;
}

/* How many bytes the character that begins here has, or 0 where it is not UTF-8. */
static size_t character(const unsigned char *at, size_t left) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t size = *at < 0x80 ? 1 : *at >= 0xf0 && *at < 0xf8 ? 4 : *at >= 0xe0 ? 3 : *at >= 0xc0 ? 2 : 0;
  if (size == 0 || *at >= 0xf8 || size > left) return 0;
  if (size == 1) return 1;
  uint32_t code = *at & (0xff >> (size + 1));
  for (size_t i = 1; i < size; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
    code = code << 6 | (at[i] & 0x3f);
  }
  return code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : size;
}

char *json_string(const char *text, size_t length) {
  char *all = malloc(length * 6 + 3), *to = all;
  if (!all) abort();
  *to++ = '"';
  for (size_t at = 0, size; at < length; at += size) {
    unsigned char c = (unsigned char)text[at];
    if (!(size = character((const unsigned char *)text + at, length - at))) {
      free(all);
      return NULL;
    }
    if (c == '"' || c == '\\') {
      *to++ = '\\', *to++ = (char)c;
    } else if (c < 0x20) {
      to += sprintf(to, "\\u%04x", c);
    } else {
      memcpy(to, text + at, size);
      to += size;
    }
  }
  *to++ = '"', *to = 0;
  return all;
}
