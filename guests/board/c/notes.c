#include "notes.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NOTES 100
#define ROOM 1024 /* what other processes may make of it; past it, a note is not kept */

typedef struct {
  uint64_t id, at;
  char *json;
} note;

static note kept[ROOM]; /* by number */
static size_t count;
static uint64_t last;    /* the highest number known */
static uint64_t dropped; /* everything up to this one is dropped, whatever comes later */

bool notes_add(json given) {
  note new;
  if (!json_number(json_member(given, "id"), &new.id) || !json_number(json_member(given, "at"), &new.at)) return false;
  if (new.id > last) last = new.id;
  if (new.id <= dropped) return true;
  size_t place = count;
  while (place > 0 && kept[place - 1].id >= new.id) place--;
  if ((place < count && kept[place].id == new.id) || count == ROOM) return true;
  if (!(new.json = strndup(given.at, (size_t)(given.end - given.at)))) abort();
  memmove(&kept[place + 1], &kept[place], (count++ - place) * sizeof *kept);
  kept[place] = new;
  return true;
}

bool notes_merge(json list) {
  uint64_t number;
  json rest = json_elements(json_member(list, "notes")), one;
  if (!rest.at || !json_number(json_member(list, "last"), &number)) return false;
  if (number > last) last = number;
  while (json_next(&rest, &one)) {
    if (!notes_add(one)) return false;
  }
  return true;
}

const char *notes_new(const char *text, size_t length, uint64_t at) {
  char *string = json_string(text, length), *whole;
  if (!string) return NULL;
  if (asprintf(&whole, "{\"id\":%" PRIu64 ",\"text\":%s,\"at\":%" PRIu64 "}", last + 1, string, at) < 0) abort();
  notes_add(json_of(whole, strlen(whole)));
  free(string);
  free(whole);
  return count > 0 ? kept[count - 1].json : NULL;
}

void notes_drop_to(uint64_t id) {
  size_t gone = 0;
  if (id > dropped) dropped = id;
  while (gone < count && kept[gone].id <= id) free(kept[gone++].json);
  memmove(kept, &kept[gone], (count -= gone) * sizeof *kept);
}

uint64_t notes_surplus(void) { return count > MAX_NOTES ? kept[count - MAX_NOTES - 1].id : 0; }

uint64_t notes_older(uint64_t than) {
  uint64_t found = 0;
  for (size_t i = 0; i < count && kept[i].at <= than; i++) found = kept[i].id;
  return found;
}

char *notes_all(void) {
  size_t size = 3;
  for (size_t i = 0; i < count; i++) size += strlen(kept[i].json) + 1;
  char *all = malloc(size), *to = all;
  if (!all) abort();
  *to++ = '[';
  for (size_t i = 0; i < count; i++) to += sprintf(to, "%s%s", i ? "," : "", kept[i].json);
  strcpy(to, "]");
  return all;
}

char *notes_list(void) {
  char *all = notes_all(), *list;
  if (asprintf(&list, "{\"last\":%" PRIu64 ",\"notes\":%s}", last, all) < 0) abort();
  free(all);
  return list;
}
