-- Returns what was destroyed, a row for each master.
WITH wanted AS (
    SELECT * FROM unnest(%(departments)s::text[], %(key_refs)s::text[]) AS t (department, key_ref)
), kept_out AS (
    INSERT INTO keys.erased_ref (department, key_ref, erasure_id)
    SELECT department, key_ref, %(erasure_id)s FROM wanted
    ON CONFLICT DO NOTHING
), unnamed AS (
    DELETE FROM keys.subject USING wanted
    WHERE subject.department = wanted.department AND subject.key_ref = wanted.key_ref
), destroyed AS (
    DELETE FROM keys.master USING wanted
    WHERE master.department = wanted.department AND master.key_ref = wanted.key_ref
    RETURNING master.key_id, master.department, master.scope_kind, master.grade_domain
), gone AS (
    INSERT INTO keys.erased_master (key_id) SELECT key_id FROM destroyed ON CONFLICT DO NOTHING
)
SELECT key_id, department, scope_kind, grade_domain FROM destroyed ORDER BY key_id
