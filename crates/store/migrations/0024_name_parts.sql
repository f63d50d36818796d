-- What begins at each letter of a folded display name, up to 16 letters: `contains` of any text is a
-- range of these. `repeats`: how many of the first letters an earlier part of the same name also
-- begins with, so that a search finds a name once.
CREATE TABLE cloud_pc_name_parts (
    tenant BLOB NOT NULL,
    part TEXT NOT NULL,
    cloud_pc_id BLOB NOT NULL,
    repeats INTEGER NOT NULL,
    PRIMARY KEY (tenant, part, cloud_pc_id)
) WITHOUT ROWID, STRICT;

INSERT INTO cloud_pc_name_parts
SELECT tenant_id, parts.value ->> 0, cloud_pcs.id, parts.value ->> 1
FROM cloud_pcs, json_each(name_parts(display_name_folded)) AS parts;

DROP TABLE cloud_pc_trigrams;
