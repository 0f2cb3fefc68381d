-- What a language model thinks of the best candidates of short histories: soft labels that smaller models learn from.
CREATE TABLE teacher_scores (
    actor   INTEGER NOT NULL,             -- actors.ix
    model   TEXT NOT NULL,                -- with its version
    made_ms INTEGER NOT NULL,
    length  INTEGER NOT NULL,             -- titles of the history that was read
    labels  TEXT NOT NULL,                -- JSON: item number and preference, in the order in which they were recommended
    PRIMARY KEY (actor, model)
) STRICT, WITHOUT ROWID;
