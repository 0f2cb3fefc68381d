-- Results of language models by content. Lost ones are computed again.
CREATE TABLE results (
    key BLOB NOT NULL PRIMARY KEY,
    model TEXT NOT NULL,
    -- Counts uses: the smallest is dropped first.
    used INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
CREATE INDEX results_by_use ON results (used);
CREATE INDEX results_by_model ON results (model);

-- What each runtime used per UTC day, counted from 1970-01-01.
CREATE TABLE usage (
    runtime TEXT NOT NULL,
    day INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    money REAL NOT NULL,
    PRIMARY KEY (runtime, day)
) STRICT, WITHOUT ROWID;

-- Background jobs, as JSON, and those of their tasks that are neither done nor given up.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
    job TEXT NOT NULL REFERENCES jobs (id),
    key TEXT NOT NULL,
    priority REAL NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;
