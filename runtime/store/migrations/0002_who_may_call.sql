-- Who may call, and through whom calls go. Sealed columns are ciphertexts of the node's; without
-- its key they are of no use.

-- What was there before let anybody in, and goes on doing so; from now on a number must say it.
ALTER TABLE numbers ADD COLUMN anonymous INTEGER NOT NULL DEFAULT 0;
UPDATE numbers SET anonymous = 1;

CREATE TABLE domains (
    id      TEXT    NOT NULL PRIMARY KEY,
    tenant  TEXT    NOT NULL REFERENCES tenants (id),
    -- One owner each, over all tenants.
    name    TEXT    NOT NULL UNIQUE CHECK (name = lower(name)),
    md5     INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX domains_of_tenant ON domains (tenant, id);

CREATE TABLE users (
    id        TEXT    NOT NULL PRIMARY KEY,
    tenant    TEXT    NOT NULL REFERENCES tenants (id),
    domain    TEXT    NOT NULL REFERENCES domains (name),
    name      TEXT    NOT NULL,
    display   TEXT,
    -- Sealed.
    verifiers BLOB    NOT NULL,
    created   INTEGER NOT NULL,
    UNIQUE (domain, name)
) STRICT;
CREATE INDEX users_of_tenant ON users (tenant, id);

-- One tree: a burst of REGISTER writes each row once.
CREATE TABLE registrations (
    user        TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    contact     TEXT    NOT NULL,
    instance    TEXT,
    reg_id      INTEGER,
    path        TEXT    NOT NULL,
    q_permille  INTEGER NOT NULL,
    sip_call_id TEXT    NOT NULL,
    cseq        INTEGER NOT NULL,
    transport   TEXT    NOT NULL,
    remote      TEXT    NOT NULL,
    local       TEXT    NOT NULL,
    user_agent  TEXT,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (user, contact)
) STRICT, WITHOUT ROWID;
CREATE INDEX registrations_expiring ON registrations (expires);

CREATE TABLE trunks (
    id       TEXT    NOT NULL PRIMARY KEY,
    tenant   TEXT    NOT NULL REFERENCES tenants (id),
    name     TEXT    NOT NULL,
    spec     TEXT    NOT NULL,
    -- Sealed. NULL: it has none.
    password BLOB,
    revision INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;

-- The ledger of what was bought of trunks. It outlives what it speaks of.
CREATE TABLE outbound_legs (
    call         TEXT    NOT NULL,
    leg          INTEGER NOT NULL,
    tenant       TEXT    NOT NULL,
    trunk        TEXT    NOT NULL,
    code         TEXT    NOT NULL,
    began        INTEGER NOT NULL,
    minutes      INTEGER NOT NULL,
    spend_micros INTEGER NOT NULL,
    PRIMARY KEY (call, leg)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbound_legs_of_tenant ON outbound_legs (tenant, began);

-- When a tenant first called a country. Counted by the trigger, so that it cannot drift.
CREATE TABLE outbound_codes (
    tenant TEXT    NOT NULL,
    code   TEXT    NOT NULL,
    first  INTEGER NOT NULL,
    PRIMARY KEY (tenant, code)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER outbound_leg_added AFTER INSERT ON outbound_legs WHEN NEW.code <> '' BEGIN
    INSERT INTO outbound_codes (tenant, code, first) VALUES (NEW.tenant, NEW.code, NEW.began)
        ON CONFLICT (tenant, code) DO UPDATE SET first = min(first, excluded.first);
END;

UPDATE directory SET revision = revision + 1;
