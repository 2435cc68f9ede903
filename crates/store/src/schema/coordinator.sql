-- The coordinator's own tables: the queries it was asked and the result releases that answered them.

CREATE TABLE queries (
    query_id     BLOB    NOT NULL PRIMARY KEY CHECK (length(query_id) = 32), -- SHA-256 of the signed query
    signed       BLOB    NOT NULL, -- signed query with its signature, canonical bytes
    agency       TEXT    NOT NULL, -- agency whose client sent it
    state        TEXT    NOT NULL CHECK (state IN ('received', 'offered', 'logged', 'released', 'failed')), -- step that is durably done
    refusal      BLOB,             -- what the caller was told when it failed, canonical bytes; NULL otherwise
    release_hash BLOB REFERENCES releases (release_hash), -- result release that answers it; NULL until there is one
    created_ms   INTEGER NOT NULL, -- first received, milliseconds since 1970-01-01 UTC
    updated_ms   INTEGER NOT NULL, -- last change of state, milliseconds since 1970-01-01 UTC
    CHECK ((state = 'failed') = (refusal IS NOT NULL)),
    CHECK ((state = 'released') = (release_hash IS NOT NULL))
) STRICT;

CREATE INDEX queries_unfinished ON queries (created_ms) WHERE state IN ('received', 'offered', 'logged');

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER queries_once BEFORE INSERT ON queries
WHEN EXISTS (SELECT 1 FROM queries WHERE query_id = NEW.query_id)
BEGIN SELECT RAISE(ABORT, 'queries: a query is inserted once'); END;

CREATE TRIGGER queries_end_once BEFORE UPDATE ON queries
WHEN OLD.state IN ('released', 'failed')
    OR NEW.query_id IS NOT OLD.query_id OR NEW.signed IS NOT OLD.signed OR NEW.agency IS NOT OLD.agency OR NEW.created_ms IS NOT OLD.created_ms
BEGIN SELECT RAISE(ABORT, 'queries: what was asked, and a query that ended, do not change'); END;

CREATE TRIGGER queries_no_delete BEFORE DELETE ON queries
BEGIN SELECT RAISE(ABORT, 'queries are never forgotten'); END;

-- Append-only by trigger.
CREATE TABLE releases (
    position       INTEGER PRIMARY KEY, -- order of writing, from 1, without gaps
    release_hash   BLOB    NOT NULL UNIQUE CHECK (length(release_hash) = 32), -- SHA-256 of bytes, which the log's entry names
    query_id       BLOB    NOT NULL UNIQUE REFERENCES queries (query_id),     -- query that it answered first
    replay_key     BLOB    NOT NULL CHECK (length(replay_key) = 32), -- equal for questions that this release answers too
    bytes          BLOB    NOT NULL, -- canonical bytes of the result release (commun/release/v2)
    released_at_ms INTEGER NOT NULL  -- milliseconds since 1970-01-01 UTC, as in bytes
) STRICT;

CREATE INDEX releases_by_key ON releases (replay_key, position);

-- Also stops INSERT OR REPLACE, whose hidden delete fires no delete trigger.
CREATE TRIGGER releases_next BEFORE INSERT ON releases
WHEN NEW.position IS NOT (SELECT COALESCE(MAX(position), 0) + 1 FROM releases)
    OR EXISTS (SELECT 1 FROM releases WHERE release_hash = NEW.release_hash OR query_id = NEW.query_id)
BEGIN SELECT RAISE(ABORT, 'releases: a query has one release, at the next position'); END;

CREATE TRIGGER releases_no_update BEFORE UPDATE ON releases
BEGIN SELECT RAISE(ABORT, 'releases is append-only'); END;

CREATE TRIGGER releases_no_delete BEFORE DELETE ON releases
BEGIN SELECT RAISE(ABORT, 'releases is append-only'); END;

-- What is kept of aggregations for some days, so that a supervisor can add a result up again. Nothing here is of one holder alone: of a member that is not in the
-- sum there are no cells.
CREATE TABLE aggregations (
    query_id       BLOB    NOT NULL PRIMARY KEY REFERENCES releases (query_id), -- query that it answered
    attempt        INTEGER NOT NULL, -- attempt that was released
    manifest       BLOB    NOT NULL, -- canonical bytes of the manifest (commun/manifest/v3)
    lists          BLOB,             -- what holders released before (commun/names/v2), of a question with an open group key; NULL otherwise
    record         BLOB    NOT NULL, -- keys, signatures and opened seeds (commun/secagg-record/v1)
    released_at_ms INTEGER NOT NULL  -- milliseconds since 1970-01-01 UTC; forgotten seven days later
) STRICT;

CREATE TABLE masked_cells (
    query_id     BLOB    NOT NULL REFERENCES aggregations (query_id), -- query that it helped to answer
    holder_index INTEGER NOT NULL, -- the survivor's index in the roster
    cells        BLOB    NOT NULL, -- masked cells, outputs in plan order, cells in grid order, each 64 bits, little endian
    PRIMARY KEY (query_id, holder_index)
) STRICT;
