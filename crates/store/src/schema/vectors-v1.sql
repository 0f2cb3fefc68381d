-- Vectors of texts by the hash of the text and of the encoder's version. Lost ones are computed again.
CREATE TABLE vectors (
    key BLOB NOT NULL PRIMARY KEY,
    -- Counts openings of the file: the smallest is dropped first.
    used INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- Numbers of 32 bits, the lowest byte first.
    vector BLOB NOT NULL
) STRICT;
CREATE INDEX vectors_by_use ON vectors (used, bytes);
