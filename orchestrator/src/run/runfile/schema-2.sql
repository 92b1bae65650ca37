-- What a report needs: when jobs were read, and what each try took.
alter table run add column workers integer;         -- how many jobs could run at once
alter table job add column queued_us integer;       -- when its line was read, since 1970
alter table outcome add column ended_us integer;    -- only where there is no `wall_us`, about
alter table attempt add column worker integer;
alter table attempt add column started_us integer;
alter table attempt add column ended_us integer;    -- as in `outcome`
alter table attempt add column wall_us integer;
alter table attempt add column user_us integer;
alter table attempt add column system_us integer;
alter table attempt add column max_rss_kib integer;

drop view verdict;
create view verdict as
select o.n, o.job, j.seq, j.line,
       coalesce(json_extract(j.id, '$'), cast(j.item as text)) as label,
       o.verdict, o.exit, o.signal, o.errno, json_extract(o.error, '$.message') as error,
       o.attempts, o.worker, o.run,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.queued_us / 1e6, 'unixepoch') as queued,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.started_us / 1e6, 'unixepoch') as started,
       o.wall_us / 1e6 as duration, (o.user_us + o.system_us) / 1e6 as cpu, o.max_rss_kib, o.leaked,
       o.stdout_omitted, o.stderr_omitted,
       o.stdout, o.stderr, o.value, o.stdout_file, o.stderr_file, o.value_file
from outcome o join job j using (job);
