-- Search: lists are searched for a part of a text in any case, which takes trigrams. The extension comes with Postgres
-- itself and needs no superuser; where it is missing or forbidden all the same, a search finds the same and reads every
-- row for it. To make up for that later, run the statements between begin and exception by hand.
-- +goose Up
-- +goose StatementBegin
do $$
begin
    create extension if not exists pg_trgm;
    create index customers_search on customers using gin (lower(email) gin_trgm_ops, lower(display_name) gin_trgm_ops);
    create index instances_search on instances using gin (lower(name) gin_trgm_ops);
    create index api_keys_search on api_keys using gin (lower(name) gin_trgm_ops);
exception when undefined_file or feature_not_supported or insufficient_privilege then
    raise warning 'pg_trgm is not to be had (%): searching lists will be slow', sqlerrm;
end
$$;
-- +goose StatementEnd
