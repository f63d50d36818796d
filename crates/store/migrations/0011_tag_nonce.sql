-- The random part of an action's tag. Action numbers come again after a restore; tags on machines must not. None for actions accepted before.
ALTER TABLE actions ADD COLUMN tag_nonce INTEGER;
ALTER TABLE undo_records ADD COLUMN tag_nonce INTEGER;
