-- A lease belongs to a worker, which is an engine that runs, and not to each action that it runs: a renewal is one row.
CREATE TABLE workers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lease_until INTEGER NOT NULL
) STRICT;

-- The column says which worker has the action; 0: none. Leases of earlier versions have no worker, and have ended with the process that held them.
UPDATE actions SET leased = 0, claim_at = updated_at WHERE at_front = 1 AND claim_at IS NOT NULL AND leased = 1;
ALTER TABLE actions RENAME COLUMN leased TO worker_id;

-- As in 0013: only CHECKs and comments change.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
    'When a worker may take it: when it is due, or when its lease ends. None while it is stuck and after its end.',
    'When a worker may take it. None while a worker has it, while it is stuck and after its end.'),
    'worker_id INTEGER NOT NULL CHECK (worker_id IN (0, 1))', 'worker_id INTEGER NOT NULL'),
    'CHECK (worker_id = 0 OR (at_front = 1 AND claim_at IS NOT NULL))', 'CHECK (worker_id = 0 OR (at_front = 1 AND claim_at IS NULL))')
WHERE type = 'table' AND name = 'actions';

PRAGMA writable_schema = RESET;

CREATE INDEX actions_worker ON actions (worker_id) WHERE worker_id <> 0;
