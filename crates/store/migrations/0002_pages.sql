-- Finished pages of deployment results.
--
-- Results are only ever added at the end, so the first hundred of a partner are its first page for ever, the next hundred the next, and once all
-- of a page have ended its text can be kept. Format 0: not written yet. The number is a rowid, so that the texts, which are long, do not
-- make the key's tree deep.
CREATE TABLE deployment_pages (
    id INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    partner_id BLOB NOT NULL,
    after_action_id INTEGER NOT NULL,
    last_action_id INTEGER NOT NULL,
    format INTEGER NOT NULL,
    body BLOB,
    UNIQUE (tenant_id, partner_id, after_action_id),
    CHECK ((format = 0) = (body IS NULL))
) STRICT;

CREATE INDEX deployment_pages_format ON deployment_pages (format, id);

INSERT INTO deployment_pages (tenant_id, partner_id, after_action_id, last_action_id, format)
SELECT tenant_id, partner_id, coalesce(lag(action_id) OVER (PARTITION BY tenant_id, partner_id ORDER BY action_id), 0), action_id, 0
FROM (
    SELECT tenant_id, partner_id, action_id, row_number() OVER (PARTITION BY tenant_id, partner_id ORDER BY action_id) AS number
    FROM deployments
)
WHERE number % 100 = 0;
