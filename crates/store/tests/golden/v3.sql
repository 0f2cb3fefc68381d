-- A store of schema version 3. Never edit: it stands for files that exist.
PRAGMA application_id = 1516788046;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE actors (
    ix          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('user', 'session')),
    id          TEXT NOT NULL,
    linked_user INTEGER,          -- a session's user, by ix
    profile     TEXT,             -- JSON, users only
    UNIQUE (kind, id)
) STRICT;
INSERT INTO "actors" VALUES(0,'user','user-0',NULL,'{"id":"user-0"}');
INSERT INTO "actors" VALUES(2,'session','session-2',0,NULL);
CREATE TABLE api_keys (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT;
INSERT INTO "api_keys" VALUES(1,'shop',X'395C02FC60F3CAB24BF7027CCC992D511D4BAA42859D3692331EF2F84962EAC7','ingest,recommend',5,NULL);
CREATE TABLE decision_actors (
    row    INTEGER PRIMARY KEY,
    first  BLOB NOT NULL,                 -- least id of these decisions
    last   BLOB NOT NULL,                 -- greatest id of these decisions
    actors BLOB NOT NULL                  -- each once, rising, 4 bytes, the highest first
) STRICT;
INSERT INTO "decision_actors" VALUES(1,X'018BCFD9330070008000000000000001',X'018BCFD9330070008000000000000001',X'00000000');
CREATE TABLE "decisions" (
    id       BLOB NOT NULL PRIMARY KEY,   -- UUID of version 7, which tells the time
    actor    INTEGER,
    surface  TEXT,
    model    TEXT NOT NULL,
    arm      TEXT,
    fallback INTEGER NOT NULL,
    shown    TEXT NOT NULL                -- JSON: parallel arrays in order of rank
) STRICT, WITHOUT ROWID;
INSERT INTO "decisions" VALUES(X'018BCFD9330070008000000000000001',0,'home','m-1',NULL,0,'{"items":[0,1],"scores":[0.33333334,0.25],"sources":["popular","slist"],"by":[0,1]}');
INSERT INTO "decisions" VALUES(X'018BD010218070008000000000000002',NULL,'home','none',NULL,0,'{"items":[2],"scores":[0.33333334],"sources":["popular"],"by":[0]}');
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
INSERT INTO "events" VALUES(1,'e-1','click',0,NULL,0,1699999200000,X'018BCFD9330070008000000000000001',NULL);
INSERT INTO "events" VALUES(2,'e-2','wishlist',2,NULL,0,1699999200000,NULL,NULL);
INSERT INTO "events" VALUES(3,'e-3','purchase',0,'session-9',1,1699999200000,X'018BCFD9330070008000000000000001','{"quantity":2.0,"price":2.5,"surface":"home"}');
CREATE TABLE imports (
    file_hash TEXT NOT NULL PRIMARY KEY,
    line      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "imports" VALUES('abc',7);
CREATE TABLE items (
    ix      INTEGER PRIMARY KEY,
    id      TEXT,
    body    TEXT,                 -- JSON; null when deleted
    deleted INTEGER NOT NULL GENERATED ALWAYS AS (body IS NULL) VIRTUAL
) STRICT;
INSERT INTO "items" VALUES(0,'item-0','{"id":"item-0","title":"Tea & 茶","available":true}');
INSERT INTO "items" VALUES(1,'item-1','{"id":"item-1","available":true}');
INSERT INTO "items" VALUES(2,'item-2',NULL);
CREATE TABLE live_models (
    row     INTEGER PRIMARY KEY AUTOINCREMENT,
    slot    TEXT NOT NULL,
    version TEXT NOT NULL,
    path    TEXT NOT NULL,
    hash    TEXT NOT NULL,
    set_ms  INTEGER NOT NULL
) STRICT;
INSERT INTO "live_models" VALUES(1,'ranker','v-1','v-1.bin','ab',3);
CREATE TABLE marks (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "marks" VALUES('clean',1);
INSERT INTO "marks" VALUES('next_actor',3);
INSERT INTO "marks" VALUES('next_item',3);
INSERT INTO "marks" VALUES('next_position',5);
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
INSERT INTO "outcome_totals" VALUES(472222,'model','m-1',2,1,0,1,5000000);
INSERT INTO "outcome_totals" VALUES(472222,'source','popular',1,1,0,0,0);
INSERT INTO "outcome_totals" VALUES(472222,'source','slist',1,0,0,1,5000000);
INSERT INTO "outcome_totals" VALUES(472223,'model','none',1,0,0,0,0);
INSERT INTO "outcome_totals" VALUES(472223,'source','popular',1,0,0,0,0);
CREATE TABLE outcomes (
    decision       BLOB NOT NULL,
    item           INTEGER NOT NULL,
    outcome        TEXT NOT NULL CHECK (outcome IN ('click', 'cart', 'purchase', 'return')),
    events         INTEGER NOT NULL,
    revenue_micros INTEGER NOT NULL,
    PRIMARY KEY (decision, item, outcome)
) STRICT, WITHOUT ROWID;
INSERT INTO "outcomes" VALUES(X'018BCFD9330070008000000000000001',0,'click',1,0);
INSERT INTO "outcomes" VALUES(X'018BCFD9330070008000000000000001',1,'purchase',1,5000000);
CREATE TABLE rejected (
    row         INTEGER PRIMARY KEY AUTOINCREMENT,
    received_ms INTEGER NOT NULL,
    rule        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;
INSERT INTO "rejected" VALUES(1,5,'range','price is negative','{"price":-1}');
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "settings" VALUES('colour','red');
CREATE TABLE teacher_scores (
    actor   INTEGER NOT NULL,             -- actors.ix
    model   TEXT NOT NULL,                -- with its version
    made_ms INTEGER NOT NULL,
    length  INTEGER NOT NULL,             -- titles of the history that was read
    labels  TEXT NOT NULL,                -- JSON: item number and preference, in the order in which they were recommended
    PRIMARY KEY (actor, model)
) STRICT, WITHOUT ROWID;
INSERT INTO "teacher_scores" VALUES(0,'teacher@1',9,2,'[[1,0.5],[0,-0.25]]');
CREATE INDEX actors_by_linked_user ON actors (linked_user) WHERE linked_user IS NOT NULL;
CREATE UNIQUE INDEX items_by_id ON items (id) WHERE body IS NOT NULL;
CREATE INDEX events_by_actor ON events (position >> 16, actor);
CREATE INDEX events_by_decision ON events (decision) WHERE decision IS NOT NULL;
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_ms IS NULL;
CREATE INDEX live_models_by_slot ON live_models (slot);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('rejected',1);
INSERT INTO "sqlite_sequence" VALUES('api_keys',1);
INSERT INTO "sqlite_sequence" VALUES('live_models',1);
COMMIT;
