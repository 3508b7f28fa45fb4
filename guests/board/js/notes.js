// The notes of one process, and what it knows of their numbers. Knows no messages.

const MAX_NOTES = 100;

export class Notes {
  kept = []; // by number
  last = 0; // the highest number known
  dropped = 0; // everything up to this one is dropped, whatever comes later

  merge({ last, notes }) {
    this.last = Math.max(this.last, last);
    for (const note of notes) this.add(note);
  }

  create(text, at) {
    const note = { id: this.last + 1, text, at };
    this.add(note);
    return note;
  }

  add(note) {
    this.last = Math.max(this.last, note.id);
    if (note.id <= this.dropped || this.kept.some(({ id }) => id === note.id)) return;
    this.kept.push(note);
    this.kept.sort((a, b) => a.id - b.id);
  }

  dropTo(number) {
    this.dropped = Math.max(this.dropped, number);
    this.kept = this.kept.filter(({ id }) => id > number);
  }

  /** Up to which number there are too many. */
  surplus() {
    return this.kept[this.kept.length - MAX_NOTES - 1]?.id;
  }

  /** Up to which number they are from that time or before. */
  older(than) {
    const young = this.kept.findIndex(({ at }) => at > than);
    return this.kept[(young < 0 ? this.kept.length : young) - 1]?.id;
  }
}
