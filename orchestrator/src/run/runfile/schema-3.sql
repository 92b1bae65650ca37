-- Where jobs ran, when that was not here: `attempt` also holds ends without a verdict.
create table host (
    run integer not null references run, host text not null,
    slots integer not null,                          -- how many jobs it could run at once
    primary key (run, host)
) strict;
alter table outcome add column host text;            -- of the last try; absent when it was here
alter table attempt add column host text;

drop view verdict;
create view verdict as
select o.n, o.job, j.seq, j.line,
       coalesce(json_extract(j.id, '$'), cast(j.item as text)) as label,
       o.verdict, o.exit, o.signal, o.errno, json_extract(o.error, '$.message') as error,
       o.attempts, o.worker, o.host, o.run,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.queued_us / 1e6, 'unixepoch') as queued,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.started_us / 1e6, 'unixepoch') as started,
       o.wall_us / 1e6 as duration, (o.user_us + o.system_us) / 1e6 as cpu, o.max_rss_kib, o.leaked,
       o.stdout_omitted, o.stderr_omitted,
       o.stdout, o.stderr, o.value, o.stdout_file, o.stderr_file, o.value_file
from outcome o join job j using (job);
