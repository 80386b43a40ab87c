-- Times are microseconds since the Unix epoch, UTC. Ids are text, as they are shown.
-- What tenants own refers to its owner; the ledger (events, calls, recordings, runs) refers to
-- nothing, since it outlives what it speaks of.

-- One row. Grows with every change that routing must know of.
CREATE TABLE directory (
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO directory (revision) VALUES (1);

CREATE TABLE tenants (
    id      TEXT    NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    state   TEXT    NOT NULL,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id      TEXT    NOT NULL PRIMARY KEY,
    -- NULL: an operator's.
    tenant  TEXT    REFERENCES tenants (id),
    name    TEXT    NOT NULL,
    hash    BLOB    NOT NULL,
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT;
CREATE INDEX keys_of_tenant ON keys (tenant, id);

-- Components and assets, each kept once.
CREATE TABLE blobs (
    digest TEXT NOT NULL PRIMARY KEY,
    bytes  BLOB NOT NULL
) STRICT;

CREATE TABLE modules (
    id                   TEXT    NOT NULL PRIMARY KEY,
    tenant               TEXT    NOT NULL REFERENCES tenants (id),
    name                 TEXT    NOT NULL,
    version              INTEGER NOT NULL,
    digest               TEXT    NOT NULL REFERENCES blobs (digest),
    world                TEXT    NOT NULL,
    state                TEXT    NOT NULL,
    bytes                INTEGER NOT NULL,
    imports              TEXT    NOT NULL,
    initial_memory_bytes INTEGER NOT NULL,
    created              INTEGER NOT NULL,
    UNIQUE (tenant, name, version)
) STRICT;
CREATE INDEX modules_of_digest ON modules (digest);

CREATE TABLE applications (
    id       TEXT    NOT NULL PRIMARY KEY,
    tenant   TEXT    NOT NULL REFERENCES tenants (id),
    name     TEXT    NOT NULL,
    spec     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE secrets (
    application TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    ciphertext  BLOB NOT NULL,
    PRIMARY KEY (application, name)
) STRICT;

CREATE TABLE assets (
    application TEXT    NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    digest      TEXT    NOT NULL REFERENCES blobs (digest),
    created     INTEGER NOT NULL,
    PRIMARY KEY (application, name)
) STRICT;
CREATE INDEX assets_of_tenant ON assets (tenant, bytes);
CREATE INDEX assets_of_digest ON assets (digest);

CREATE TABLE numbers (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant      TEXT    NOT NULL REFERENCES tenants (id),
    address     TEXT    NOT NULL UNIQUE,
    application TEXT    REFERENCES applications (id),
    created     INTEGER NOT NULL
) STRICT;
CREATE INDEX numbers_of_tenant ON numbers (tenant, id);
CREATE INDEX numbers_of_application ON numbers (application);

CREATE TABLE kv (
    application TEXT    NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    key         TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    value       BLOB    NOT NULL,
    revision    INTEGER NOT NULL,
    -- NULL: never.
    expires     INTEGER,
    PRIMARY KEY (application, key)
) STRICT;
CREATE INDEX kv_expiring ON kv (expires) WHERE expires IS NOT NULL;

-- Counted by the triggers below, so that a quota is not a scan and cannot drift.
CREATE TABLE kv_keys (
    application TEXT    NOT NULL PRIMARY KEY REFERENCES applications (id) ON DELETE CASCADE,
    keys        INTEGER NOT NULL
) STRICT;
CREATE TABLE kv_bytes (
    tenant TEXT    NOT NULL PRIMARY KEY,
    bytes  INTEGER NOT NULL
) STRICT;
CREATE TRIGGER kv_added AFTER INSERT ON kv BEGIN
    INSERT INTO kv_keys (application, keys) VALUES (NEW.application, 1)
        ON CONFLICT (application) DO UPDATE SET keys = keys + 1;
    INSERT INTO kv_bytes (tenant, bytes) VALUES (NEW.tenant, octet_length(NEW.key) + octet_length(NEW.value))
        ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER kv_changed AFTER UPDATE OF value ON kv BEGIN
    UPDATE kv_bytes SET bytes = bytes + octet_length(NEW.value) - octet_length(OLD.value) WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER kv_removed AFTER DELETE ON kv BEGIN
    UPDATE kv_keys SET keys = keys - 1 WHERE application = OLD.application;
    UPDATE kv_bytes SET bytes = bytes - octet_length(OLD.key) - octet_length(OLD.value) WHERE tenant = OLD.tenant;
END;

-- The outbox. `position` is a cursor: it only grows, and what a reader has passed never changes.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    subject  TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    tenant   TEXT,
    type     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    data     TEXT    NOT NULL,
    UNIQUE (subject, sequence)
) STRICT;
CREATE INDEX events_of_tenant ON events (tenant, position);

CREATE TABLE calls (
    id           TEXT    NOT NULL PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    application  TEXT    NOT NULL,
    direction    TEXT    NOT NULL,
    caller       TEXT    NOT NULL,
    called       TEXT    NOT NULL,
    number       TEXT    NOT NULL,
    sip_call_id  TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    started      INTEGER NOT NULL,
    answered     INTEGER,
    ended        INTEGER,
    cause        TEXT,
    connected_us INTEGER NOT NULL DEFAULT 0,
    faults       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX calls_of_tenant ON calls (tenant, id);
CREATE INDEX calls_of_application ON calls (application, id);
CREATE INDEX calls_open ON calls (id) WHERE ended IS NULL;

CREATE TABLE recordings (
    id        TEXT    NOT NULL PRIMARY KEY,
    tenant    TEXT    NOT NULL,
    call      TEXT    NOT NULL,
    started   INTEGER NOT NULL,
    -- NULL while it runs.
    length_ms INTEGER,
    bytes     INTEGER NOT NULL DEFAULT 0,
    failed    TEXT
) STRICT;
CREATE INDEX recordings_of_tenant ON recordings (tenant, id);
CREATE INDEX recordings_of_call ON recordings (call, id);
CREATE INDEX recordings_open ON recordings (id) WHERE length_ms IS NULL;

-- The ledger. A row whose `reason` is set is closed, and never changes again.
CREATE TABLE runs (
    id                  TEXT    NOT NULL PRIMARY KEY,
    kind                TEXT    NOT NULL,
    call                TEXT    NOT NULL,
    tenant              TEXT    NOT NULL,
    application         TEXT    NOT NULL,
    module              TEXT,
    module_name         TEXT    NOT NULL,
    module_version      INTEGER NOT NULL,
    handler             INTEGER NOT NULL,
    began               INTEGER NOT NULL,
    marked              INTEGER NOT NULL,
    holding_us          INTEGER NOT NULL,
    parked_us           INTEGER NOT NULL,
    connected_us        INTEGER NOT NULL,
    cpu_ns              INTEGER NOT NULL,
    peak_memory_bytes   INTEGER NOT NULL,
    memory_byte_seconds INTEGER NOT NULL,
    host_calls          TEXT    NOT NULL,
    frames_sent         INTEGER NOT NULL,
    frames_received     INTEGER NOT NULL,
    reason              TEXT,
    fault_code          TEXT,
    fault_message       TEXT
) STRICT;
CREATE INDEX runs_of_call ON runs (call, id);
CREATE INDEX runs_of_tenant ON runs (tenant, began);
CREATE INDEX runs_open ON runs (id) WHERE reason IS NULL;
