-- The log as this process stores it: every entry in one order, and the signed checkpoints over it.
-- Append-only by trigger: an entry is inserted at the next number and never changed or deleted.

CREATE TABLE log_entries (
    number INTEGER PRIMARY KEY, -- place in the log, from 0, without gaps
    bytes  BLOB NOT NULL,       -- canonical bytes of the entry (commun/entry/v2): what the tree hashes
    kind   TEXT NOT NULL        -- kind of the entry in one word, for people: 'bundle', 'permit', 'attempt', ...
) STRICT;

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER log_entries_next BEFORE INSERT ON log_entries
WHEN NEW.number IS NOT (SELECT COALESCE(MAX(number) + 1, 0) FROM log_entries)
BEGIN SELECT RAISE(ABORT, 'log_entries: an entry takes the next number'); END;

CREATE TRIGGER log_entries_no_update BEFORE UPDATE ON log_entries
BEGIN SELECT RAISE(ABORT, 'log_entries is append-only'); END;

CREATE TRIGGER log_entries_no_delete BEFORE DELETE ON log_entries
BEGIN SELECT RAISE(ABORT, 'log_entries is append-only'); END;

-- Not append-only: a checkpoint of a size that stands still is signed again every few minutes, with a new time.
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY, -- number of entries that the checkpoint covers
    note TEXT NOT NULL        -- signed note: origin, size, root, time and signatures, as text
) STRICT;
