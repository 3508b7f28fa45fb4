"""The notes of one process, and what it knows of their numbers. Knows no messages."""

MAX_NOTES = 100


class Notes:
    def __init__(self):
        self.kept = {}  # by number, in order
        self.last = 0  # the highest number known
        self.dropped = 0  # everything up to this one is dropped, whatever comes later

    def all(self):
        return list(self.kept.values())

    def merge(self, listed):
        self.last = max(self.last, listed["last"])
        for note in listed["notes"]:
            self.add(note)

    def new(self, text, at):
        note = {"id": self.last + 1, "text": text, "at": at}
        self.add(note)
        return note

    def add(self, note):
        self.last = max(self.last, note["id"])
        if note["id"] > self.dropped:
            self.kept[note["id"]] = note
            self.kept = dict(sorted(self.kept.items()))

    def drop_to(self, number):
        self.dropped = max(self.dropped, number)
        self.kept = {key: note for key, note in self.kept.items() if key > number}

    def surplus(self):
        """Up to which number there are too many, or None."""
        ids = list(self.kept)
        return ids[-MAX_NOTES - 1] if len(ids) > MAX_NOTES else None

    def older(self, than):
        """Up to which number they are from that time or before, or None."""
        found = None
        for note in self.kept.values():
            if note["at"] > than:
                break
            found = note["id"]
        return found
