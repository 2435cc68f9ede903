-- What a person at the holder has to look at, and what that person decided.

-- Append-only by trigger.
CREATE TABLE incidents (
    id       INTEGER PRIMARY KEY, -- number of the incident, from 1, without gaps
    time_ms  INTEGER NOT NULL,    -- when it was noticed, milliseconds since 1970-01-01 UTC, by the agent's own clock
    kind     TEXT    NOT NULL CHECK (kind IN ('lapse', 'left_out')), -- 'lapse': failed once data were read, or missed the slot; 'left_out': answered in time, and not counted
    domain   TEXT    NOT NULL,    -- budget domain of the question
    period   INTEGER NOT NULL,    -- partition that it read, as months or years since year 0; one row for each
    query_id BLOB    NOT NULL CHECK (length(query_id) = 32), -- SHA-256 of the signed query
    attempt  INTEGER NOT NULL,    -- attempt of the query, from 1
    UNIQUE (kind, query_id, attempt, period)
) STRICT;

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER incidents_next BEFORE INSERT ON incidents
WHEN NEW.id IS NOT (SELECT COALESCE(MAX(id), 0) + 1 FROM incidents)
    OR EXISTS (SELECT 1 FROM incidents
        WHERE kind = NEW.kind AND query_id = NEW.query_id AND attempt = NEW.attempt AND period = NEW.period)
BEGIN SELECT RAISE(ABORT, 'incidents: an incident takes the next number, once'); END;

CREATE TRIGGER incidents_no_update BEFORE UPDATE ON incidents
BEGIN SELECT RAISE(ABORT, 'incidents is append-only'); END;

CREATE TRIGGER incidents_no_delete BEFORE DELETE ON incidents
BEGIN SELECT RAISE(ABORT, 'incidents is append-only'); END;

-- Append-only by trigger.
CREATE TABLE decisions (
    id         INTEGER PRIMARY KEY, -- number of the decision, from 1, without gaps
    time_ms    INTEGER NOT NULL,    -- when it was taken, milliseconds since 1970-01-01 UTC, by the agent's own clock
    reason     TEXT    NOT NULL,    -- what the person wrote
    incident   INTEGER NOT NULL,    -- number of the last incident that it settles, 0 for none
    ledger_seq INTEGER NOT NULL     -- last number of the ledger then, if it was after a stop, else 0: until the next record, records that contradict the log are charged beside the own ones
) STRICT;

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER decisions_next BEFORE INSERT ON decisions
WHEN NEW.id IS NOT (SELECT COALESCE(MAX(id), 0) + 1 FROM decisions)
BEGIN SELECT RAISE(ABORT, 'decisions: a decision takes the next number'); END;

CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;

CREATE TRIGGER decisions_no_delete BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;

-- The journal gets one word more, 'charged'. A check cannot be changed in place, so the table is made anew with the same lines.
DROP TRIGGER journal_next;
DROP TRIGGER journal_no_update;
DROP TRIGGER journal_no_delete;
ALTER TABLE journal RENAME TO journal_before;

-- Append-only by trigger.
CREATE TABLE journal (
    id         INTEGER PRIMARY KEY, -- number of the line, from 1, without gaps
    time_ms    INTEGER NOT NULL,    -- when the agent decided, milliseconds since 1970-01-01 UTC, by its own clock
    query_id   BLOB    NOT NULL CHECK (length(query_id) = 32), -- SHA-256 of the signed query
    attempt    INTEGER NOT NULL,    -- attempt of the query, from 1
    agency     TEXT,                -- agency that the permit names; NULL when the offer did not get that far
    permit     BLOB CHECK (permit IS NULL OR length(permit) = 32), -- SHA-256 of the permit; NULL when the offer names none
    sql        TEXT    NOT NULL,    -- SQL text as the agency signed it; empty when the offer could not be read
    decision   TEXT    NOT NULL CHECK (decision IN ('accepted', 'refused', 'masked', 'answered', 'failed', 'refunded', 'charged')), -- what the agent did
    code       TEXT,                -- stable code of a refusal or failure; NULL otherwise
    reason     TEXT    NOT NULL,    -- reason in words; made from question, permit, policy and ledger, never from data
    bytes_sent INTEGER NOT NULL     -- bytes of answer that left the agent with this decision
) STRICT;
INSERT INTO journal SELECT id, time_ms, query_id, attempt, agency, permit, sql, decision, code, reason, bytes_sent FROM journal_before;
DROP TABLE journal_before;

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER journal_next BEFORE INSERT ON journal
WHEN NEW.id IS NOT (SELECT COALESCE(MAX(id), 0) + 1 FROM journal)
BEGIN SELECT RAISE(ABORT, 'journal: a line takes the next number'); END;

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'journal is append-only'); END;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'journal is append-only'); END;
