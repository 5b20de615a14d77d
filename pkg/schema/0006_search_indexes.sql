-- pin-admin's lists can be searched for a part of a name or an address. Trigram indexes make this search fast. The extension
-- pg_trgm is part of Postgres and needs no superuser. If the server does not allow it, a search gives the same result but
-- reads every row. To add the indexes later, run the statements between "begin" and "exception" by hand.
-- +goose Up
-- +goose StatementBegin
do $$
begin
    create extension if not exists pg_trgm;
    create index customers_search on customers using gin (lower(email) gin_trgm_ops, lower(display_name) gin_trgm_ops);
    create index instances_search on instances using gin (lower(name) gin_trgm_ops);
    create index api_keys_search on api_keys using gin (lower(name) gin_trgm_ops);
exception when undefined_file or feature_not_supported or insufficient_privilege then
    raise warning 'the extension pg_trgm is not available (%): searches in lists will be slow', sqlerrm;
end
$$;
-- +goose StatementEnd
