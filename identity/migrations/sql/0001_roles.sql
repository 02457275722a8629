-- Two roles beside the owner who runs this: the application (pages, API, jobs) and the gateway (inference). The application may write
-- ordinary tables; later migrations take UPDATE and DELETE away where rows may only be added (I7). The gateway is granted table by table.
do $$
begin
    if not exists (select from pg_roles where rolname = 'beffroi_app') then
        create role beffroi_app nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'beffroi_gateway') then
        create role beffroi_gateway nologin;
    end if;
end $$;
grant usage on schema public to beffroi_app, beffroi_gateway;
grant select, insert, update, delete on all tables in schema public to beffroi_app;
grant usage, select on all sequences in schema public to beffroi_app;
alter default privileges in schema public grant select, insert, update, delete on tables to beffroi_app;
alter default privileges in schema public grant usage, select on sequences to beffroi_app;
-- Not "in schema public": what PUBLIC may do by default is a right of the whole database, and a schema can only add to it.
alter default privileges revoke execute on functions from public;
