-- Numbers that are in use by the process: first free numbers of each series, and whether the last shutdown was clean.
CREATE TABLE marks (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO marks VALUES ('next_actor', 0), ('next_item', 0), ('next_position', 1), ('clean', 1);

-- Users and anonymous sessions.
CREATE TABLE actors (
    ix          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('user', 'session')),
    id          TEXT NOT NULL,
    linked_user INTEGER,          -- a session's user, by ix
    profile     TEXT,             -- JSON, users only
    UNIQUE (kind, id)
) STRICT;
CREATE INDEX actors_by_linked_user ON actors (linked_user) WHERE linked_user IS NOT NULL;

-- The catalogue. A deleted item keeps its number and name, because the log refers to them.
CREATE TABLE items (
    ix      INTEGER PRIMARY KEY,
    id      TEXT,
    body    TEXT,                 -- JSON; null when deleted
    deleted INTEGER NOT NULL GENERATED ALWAYS AS (body IS NULL) VIRTUAL
) STRICT;
CREATE UNIQUE INDEX items_by_id ON items (id) WHERE body IS NOT NULL;

-- The event log. The name of the user (or of the session, when there is no user) is that of the actor. The writer checks that actor and
-- item exist: foreign keys would cost a fifth of the speed of appending.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    kind     TEXT NOT NULL,
    actor    INTEGER NOT NULL,    -- actors.ix
    session  TEXT,                -- only for an event that names a user and a session
    item     INTEGER,             -- items.ix
    time_ms  INTEGER NOT NULL,
    decision BLOB,                -- UUID
    details  TEXT                 -- JSON of all other fields; null when there are none
) STRICT;
-- By actor within segments of 65,536 places: new entries then fall on few pages, however long the log is, which makes appending twice
-- as fast. Looking an actor up takes one step per segment.
CREATE INDEX events_by_actor ON events (position >> 16, actor);
CREATE INDEX events_by_decision ON events (decision) WHERE decision IS NOT NULL;

-- Refused events, for inspection; the oldest go first.
CREATE TABLE rejected (
    row         INTEGER PRIMARY KEY AUTOINCREMENT,
    received_ms INTEGER NOT NULL,
    rule        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;

-- What was answered.
CREATE TABLE decisions (
    id       BLOB NOT NULL PRIMARY KEY,   -- UUID
    time_ms  INTEGER NOT NULL,
    actor    INTEGER,
    surface  TEXT,
    model    TEXT NOT NULL,
    arm      TEXT,
    fallback INTEGER NOT NULL,
    shown    TEXT NOT NULL                -- JSON: parallel arrays in order of rank
) STRICT;
CREATE INDEX decisions_by_time ON decisions (time_ms, id);
CREATE INDEX decisions_by_actor ON decisions (actor) WHERE actor IS NOT NULL;

-- What came of a shown item; `events` counts the events that say so.
CREATE TABLE outcomes (
    decision       BLOB NOT NULL,
    item           INTEGER NOT NULL,
    outcome        TEXT NOT NULL CHECK (outcome IN ('click', 'cart', 'purchase', 'return')),
    events         INTEGER NOT NULL,
    revenue_micros INTEGER NOT NULL,
    PRIMARY KEY (decision, item, outcome)
) STRICT, WITHOUT ROWID;

-- Sums of the two tables above by hour of the decision, kept up in the transaction that changes them.
CREATE TABLE outcome_totals (
    hour           INTEGER NOT NULL,      -- hours since 1970 UTC
    dimension      TEXT NOT NULL CHECK (dimension IN ('model', 'source')),
    name           TEXT NOT NULL,
    impressions    INTEGER NOT NULL,
    clicks         INTEGER NOT NULL,
    carts          INTEGER NOT NULL,
    purchases      INTEGER NOT NULL,
    revenue_micros INTEGER NOT NULL,
    PRIMARY KEY (hour, dimension, name)
) STRICT, WITHOUT ROWID;

-- How far each import has come, written with the events that it covers.
CREATE TABLE imports (
    file_hash TEXT NOT NULL PRIMARY KEY,
    line      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- API keys: only hashes.
CREATE TABLE api_keys (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_ms IS NULL;

-- Every model that ever went live; the last row of a slot is the live one.
CREATE TABLE live_models (
    row     INTEGER PRIMARY KEY AUTOINCREMENT,
    slot    TEXT NOT NULL,
    version TEXT NOT NULL,
    path    TEXT NOT NULL,
    hash    TEXT NOT NULL,
    set_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX live_models_by_slot ON live_models (slot);

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
