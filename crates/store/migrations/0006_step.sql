-- The step that a deployment is at is never shown with its result, and its action knows it.
ALTER TABLE deployments DROP COLUMN step;
