-- The role definitions that every tenant has. What they grant is known to the program.
INSERT INTO documents (tenant_id, type, parent_id, id, revision, shape, body, status, sealed, created_at, modified_at)
SELECT
    tenants.id, 'unifiedRoleDefinition', '', roles.id, 1, 1,
    json_object('displayName', roles.name, 'description', roles.description), '{}', '{}', 0, 0
FROM tenants, (
    SELECT
        'b5c08161-a7af-481c-ace2-a20a69a48fb1' AS id,
        'Cloud PC Administrator' AS name,
        'Manages all Cloud PCs and their configuration.' AS description
    UNION ALL
    SELECT
        'ea8e2fb8-e909-44e6-bae7-56757cf6f347',
        'Cloud PC Reader',
        'Reads all Cloud PCs and their configuration.'
) AS roles;
