-- The agent's own tables: the journal of what it was asked, for whoever runs the holder's side, and the attempts that it knows.

-- Append-only by trigger.
CREATE TABLE journal (
    id         INTEGER PRIMARY KEY, -- number of the line, from 1, without gaps
    time_ms    INTEGER NOT NULL,    -- when the agent decided, milliseconds since 1970-01-01 UTC, by its own clock
    query_id   BLOB    NOT NULL CHECK (length(query_id) = 32), -- SHA-256 of the signed query
    attempt    INTEGER NOT NULL,    -- attempt of the query, from 1
    agency     TEXT,                -- agency that the permit names; NULL when the offer did not get that far
    permit     BLOB CHECK (permit IS NULL OR length(permit) = 32), -- SHA-256 of the permit; NULL when the offer names none
    sql        TEXT    NOT NULL,    -- SQL text as the agency signed it; empty when the offer could not be read
    decision   TEXT    NOT NULL CHECK (decision IN ('accepted', 'refused', 'masked', 'answered', 'failed', 'refunded')), -- what the agent did
    code       TEXT,                -- stable code of a refusal or failure; NULL otherwise
    reason     TEXT    NOT NULL,    -- reason in words; made from question, permit, policy and ledger, never from data
    bytes_sent INTEGER NOT NULL     -- bytes of answer that left the agent with this decision
) STRICT;

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER journal_next BEFORE INSERT ON journal
WHEN NEW.id IS NOT (SELECT COALESCE(MAX(id), 0) + 1 FROM journal)
BEGIN SELECT RAISE(ABORT, 'journal: a line takes the next number'); END;

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'journal is append-only'); END;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'journal is append-only'); END;

-- An attempt is known for ever, so that a message that is sent twice starts nothing.
CREATE TABLE attempts (
    query_id   BLOB    NOT NULL CHECK (length(query_id) = 32), -- SHA-256 of the signed query
    attempt    INTEGER NOT NULL,    -- attempt of the query, from 1
    state      TEXT    NOT NULL CHECK (state IN ('open', 'answered', 'failed', 'refunded', 'refused')), -- 'open' until it ended
    reason     TEXT    NOT NULL,    -- why it ended, in words; empty while open
    updated_ms INTEGER NOT NULL,    -- last change, milliseconds since 1970-01-01 UTC
    PRIMARY KEY (query_id, attempt)
) STRICT;

CREATE TRIGGER attempts_once BEFORE INSERT ON attempts
WHEN EXISTS (SELECT 1 FROM attempts WHERE query_id = NEW.query_id AND attempt = NEW.attempt)
BEGIN SELECT RAISE(ABORT, 'attempts: an attempt begins once'); END;

CREATE TRIGGER attempts_end_once BEFORE UPDATE ON attempts
WHEN OLD.state <> 'open' OR NEW.query_id IS NOT OLD.query_id OR NEW.attempt IS NOT OLD.attempt
BEGIN SELECT RAISE(ABORT, 'attempts: an attempt that ended does not change'); END;

CREATE TRIGGER attempts_no_delete BEFORE DELETE ON attempts
BEGIN SELECT RAISE(ABORT, 'attempts are never forgotten'); END;
