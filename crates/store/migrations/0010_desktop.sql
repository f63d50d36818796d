-- Tickets to desktops, which used to be in memory.
--
-- A ticket is a row with two stages: its address opens a page once, then the page's key opens a WebSocket once, and the row is gone. Only hashes are kept of what
-- has to be shown, so that a copy of the database opens nothing.
CREATE TABLE desktop_tickets (
    -- SHA-256 of what opens the next stage: the ticket, later the key.
    hash BLOB PRIMARY KEY,
    -- SHA-256 of the ticket, once its page is open.
    page_hash BLOB,
    tenant_id BLOB NOT NULL,
    -- With whom limits count it.
    caller TEXT NOT NULL,
    -- What it admits to, and for whom: the server's business.
    admission TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX desktop_tickets_caller ON desktop_tickets (tenant_id, caller);
CREATE INDEX desktop_tickets_expires ON desktop_tickets (expires_at);
