-- Codes of the authorization code grant (RFC 6749 4.1) that wait to be redeemed. The code is a
-- SHA-256 hash.
CREATE TABLE authorization_codes (
    tenant_id BLOB NOT NULL,
    code BLOB NOT NULL UNIQUE,
    user_id BLOB NOT NULL,
    client_id BLOB NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    scope TEXT NOT NULL,
    nonce TEXT,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, code)
) WITHOUT ROWID, STRICT;

CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

-- Certificates by which applications sign in, in place of a secret.
CREATE TABLE app_certificates (
    tenant_id BLOB NOT NULL,
    app_id BLOB NOT NULL,
    -- DER of X.509.
    certificate BLOB NOT NULL,
    PRIMARY KEY (tenant_id, app_id)
) WITHOUT ROWID, STRICT;
