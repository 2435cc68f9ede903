-- Privacy loss: the records of each holder's ledger, hash-chained per holder. An agent keeps its own, the coordinator one chain per holder.
-- Append-only by trigger: what was charged is taken back only by a further record.

CREATE TABLE ledger_records (
    position INTEGER PRIMARY KEY, -- order of writing in this file, from 1, without gaps
    holder   TEXT    NOT NULL,    -- holder whose ledger it is
    domain   TEXT    NOT NULL,    -- budget domain that the record is about
    seq      INTEGER NOT NULL,    -- number of the record in the holder's chain, from 1, without gaps
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),     -- SHA-256 of bytes; the next record of the holder carries it as its previous
    bytes    BLOB    NOT NULL,    -- canonical bytes of the record, which hold all of it: charges, permit, previous
    kind     TEXT    NOT NULL CHECK (kind IN ('reserve', 'refund', 'reset')), -- 'reserve' (a charge from its writing on), 'refund' or 'reset'
    query_id BLOB    NOT NULL CHECK (length(query_id) = 32), -- query that is charged
    attempt  INTEGER NOT NULL,    -- attempt of the query, from 1
    UNIQUE (holder, seq),
    UNIQUE (hash),
    UNIQUE (holder, query_id, attempt, kind) -- an attempt is charged once and refunded once
) STRICT;

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER ledger_records_next BEFORE INSERT ON ledger_records
WHEN NEW.position IS NOT (SELECT COALESCE(MAX(position), 0) + 1 FROM ledger_records)
    OR NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM ledger_records WHERE holder = NEW.holder)
    OR EXISTS (SELECT 1 FROM ledger_records WHERE hash = NEW.hash)
    OR EXISTS (SELECT 1 FROM ledger_records
        WHERE holder = NEW.holder AND query_id = NEW.query_id AND attempt = NEW.attempt AND kind = NEW.kind)
BEGIN SELECT RAISE(ABORT, 'ledger_records: a record takes the next position and seq, and an attempt has one record of a kind'); END;

CREATE TRIGGER ledger_records_no_update BEFORE UPDATE ON ledger_records
BEGIN SELECT RAISE(ABORT, 'ledger_records is append-only'); END;

CREATE TRIGGER ledger_records_no_delete BEFORE DELETE ON ledger_records
BEGIN SELECT RAISE(ABORT, 'ledger_records is append-only'); END;
