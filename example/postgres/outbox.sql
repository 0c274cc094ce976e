-- What is to be broadcast, written in the transaction of the change that it tells of: both happen, or neither does.
create table if not exists outbox (
  id bigint generated always as identity primary key,
  room text not null,
  event text not null,
  data jsonb not null
);

create or replace function outbox_written() returns trigger language plpgsql as $$
begin
  -- It is sent with the commit, and once for a transaction. Whoever misses it reads the table when it comes back.
  perform pg_notify('outbox', '');
  return null;
end $$;

create or replace trigger outbox_written after insert on outbox
  for each statement execute function outbox_written();
