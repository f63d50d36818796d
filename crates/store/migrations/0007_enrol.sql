-- Whether the guest of a machine has yet to be told its name: machines of a first start are made without waiting for theirs.
ALTER TABLE health_checks ADD COLUMN enrol INTEGER NOT NULL DEFAULT 0 CHECK (enrol IN (0, 1));
