-- Described in docs/run-file.md.
create table run (
    run integer primary key,         -- 1, and one more each time that it went on
    run_id text not null,            -- the same for all of them
    began_us integer not null,       -- since 1970, in microseconds
    ended_us integer,                -- absent while it runs, and after a crash
    failure text,                    -- why the run itself failed, if it did
    version text not null,
    host text not null,
    pid integer not null,
    cwd blob not null,
    arguments blob not null,         -- the words behind `run`, each ended by a zero byte
    purpose text not null,           -- what is done with each line, in words
    fingerprint blob not null
) strict;

create table state (
    one integer primary key check (one = 1),
    input_whole integer not null,    -- whether the input was read to its end
    shown integer not null,          -- outcomes up to this `n` were written to stdout
    light integer not null           -- whether only jobs that did not succeed are here
) strict;
insert into state values (1, 0, 0, 0);

create table unrecorded (            -- jobs that are not here, counted
    run integer not null references run,
    verdict text not null,
    jobs integer not null
) strict;

create table job (
    job integer primary key autoincrement, -- $ORCHESTRATOR_JOB_ID: never used again
    key blob not null,
    seq integer not null,            -- its place in the input
    line integer not null,           -- the same, blank lines counted
    id text,                         -- what the input calls it, as JSON
    item blob,                       -- the line; absent when it was too long
    started integer                  -- the run that may have started it (--on-interrupted fail)
) strict;

create table outcome (
    n integer primary key,           -- in the order of the commits
    job integer not null unique references job,
    run integer not null references run,
    verdict text not null,
    exit integer, signal integer, errno integer,
    error text,                      -- as JSON: message, location, chain, kind
    attempts integer not null,
    worker integer,
    started_us integer,              -- the last attempt, since 1970
    wall_us integer, user_us integer, system_us integer, max_rss_kib integer, leaked integer,
    stdout_omitted integer, stderr_omitted integer, -- bytes left out because of a limit
    stdout blob, stderr blob, value blob,
    -- Larger ones: names in the directory beside the run file.
    stdout_file text, stderr_file text, value_file text
) strict;

create table attempt (               -- those before the last
    job integer not null references job,
    run integer not null references run,
    attempt integer not null,
    verdict text not null,
    exit integer, signal integer, errno integer,
    error text,
    stderr blob                      -- its last 64 KiB
) strict;

create index attempt_job on attempt (job);

create view verdict as
select o.n, o.job, j.seq, j.line,
       coalesce(json_extract(j.id, '$'), cast(j.item as text)) as label,
       o.verdict, o.exit, o.signal, o.errno, json_extract(o.error, '$.message') as error,
       o.attempts, o.worker, o.run,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.started_us / 1e6, 'unixepoch') as started,
       o.wall_us / 1e6 as duration, (o.user_us + o.system_us) / 1e6 as cpu, o.max_rss_kib, o.leaked,
       o.stdout_omitted, o.stderr_omitted,
       o.stdout, o.stderr, o.value, o.stdout_file, o.stderr_file, o.value_file
from outcome o join job j using (job);
