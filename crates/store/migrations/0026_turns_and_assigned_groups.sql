-- Tenants take turns in the queue of users, each with the users that have waited longest.
DROP INDEX provisioning_queue_by_age;
CREATE INDEX provisioning_queue_turns ON provisioning_queue (tenant_id, queued_at, user_id);

-- Assignments refer to their groups, so that the reconciler reads only those of a user's groups. The
-- id of a group can be written in several forms: with and without hyphens, and with braces.
INSERT INTO document_references
    (tenant_id, type, parent_id, id, property, target_type, target_parent_id, target_id, holds)
SELECT
    tenant_id, type, parent_id, id, 'target/groupId', 'group', '',
    substr(digits, 1, 8) || '-' || substr(digits, 9, 4) || '-' || substr(digits, 13, 4) || '-'
    || substr(digits, 17, 4) || '-' || substr(digits, 21),
    0
FROM (
    SELECT
        tenant_id, type, parent_id, id,
        replace(replace(replace(replace(
            lower(body ->> '$.target.groupId'), 'urn:uuid:', ''), '-', ''), '{', ''), '}', '') AS digits
    FROM documents
    WHERE type IN ('cloudPcProvisioningPolicyAssignment', 'cloudPcUserSettingAssignment')
)
WHERE length(digits) = 32;
