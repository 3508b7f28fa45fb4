// The notes of one process, and what it knows of their numbers. Knows no messages.

const MAX_NOTES = 100;

export interface Note {
  id: number;
  text: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** The answer to `list`. */
export interface List {
  last: number;
  notes: Note[];
}

export class Notes {
  kept: Note[] = []; // by number
  last = 0; // the highest number known
  dropped = 0; // everything up to this one is dropped, whatever comes later

  list(): List {
    return { last: this.last, notes: this.kept };
  }

  merge({ last, notes }: List): void {
    this.last = Math.max(this.last, last);
    for (const note of notes) this.add(note);
  }

  create(text: string, at: number): Note {
    const note = { id: this.last + 1, text, at };
    this.add(note);
    return note;
  }

  add(note: Note): void {
    this.last = Math.max(this.last, note.id);
    if (note.id <= this.dropped || this.kept.some(({ id }) => id === note.id)) return;
    this.kept.push(note);
    this.kept.sort((a, b) => a.id - b.id);
  }

  dropTo(number: number): void {
    this.dropped = Math.max(this.dropped, number);
    this.kept = this.kept.filter(({ id }) => id > number);
  }

  /** Up to which number there are too many. */
  surplus(): number | undefined {
    return this.kept[this.kept.length - MAX_NOTES - 1]?.id;
  }

  /** Up to which number they are from that time or before. */
  older(than: number): number | undefined {
    const young = this.kept.findIndex(({ at }) => at > than);
    return this.kept[(young < 0 ? this.kept.length : young) - 1]?.id;
  }
}
