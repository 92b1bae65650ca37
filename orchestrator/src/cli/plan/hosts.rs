//! What the options about other machines mean: for each of them a command line that starts
//! an agent there and carries its stdin and stdout.

mod maker;
mod names;
mod quote;
mod ways;

use std::ffi::OsString;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use self::maker::Maker;
use self::names::{Host, hosts_of};
use self::quote::{is_for_hosts, split};
use super::super::args::{HostsArgs, WorkerArgs};
use super::super::errors::Message;
use super::super::program::Lookup;
use crate::pool::{Agent, PoolConfig, ThreadsPerJob};
use crate::run::text;

/// How long a host may be allowed to be silent. With less it would be lost in between two words.
const SILENCES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// What is asked of every agent, beside how many workers it has.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) worker: &'a WorkerArgs,
    /// The directory of all jobs, if it is another than that of this process.
    pub(super) directory: Option<&'a Path>,
    /// Variables that jobs need.
    pub(super) env: &'a [OsString],
    /// How many jobs a host runs at once, where it does not say so itself.
    pub(super) jobs: Option<usize>,
    pub(super) threads_per_job: Option<usize>,
}

/// Where jobs run.
#[derive(Debug)]
pub(super) struct Places {
    agents: Vec<Agent>,
    /// How many workers there are on this machine; absent when it was not named.
    here: Option<Option<usize>>,
    /// About how many jobs run elsewhere at the same time.
    slots: usize,
}

/// Finds out where jobs run.
///
/// # Errors
/// When what was asked for makes no sense, or a file cannot be read.
pub(super) fn places(
    args: HostsArgs,
    wanted: &Wanted<'_>,
    (pool, lookup): (&PoolConfig, &Lookup),
) -> Result<Option<Places>, Message> {
    if !args.is_any() {
        return match args.says_how() {
            true => Err(Message::new(
                "no other machine is named: --ssh, --agent, --bootstrap and --host-timeout are about those",
            )
            .tip("name them: --hosts, --hostfile, --slurm or --launch")),
            false => Ok(None),
        };
    }
    let maker = Maker::new(&args, wanted, pool, lookup)?;
    let mut places = Places {
        agents: Vec::new(),
        here: None,
        slots: 0,
    };
    let listed = listed(&args, lookup)?;
    check_ways(&args, listed.iter().any(|host| host.name != b":"))?;
    let (for_hosts, others): (Vec<_>, Vec<_>) =
        args.launch.iter().partition(|way| is_for_hosts(way));
    let ssh = match &args.ssh {
        Some(ssh) => split(ssh)?,
        None => vec!["ssh".into()],
    };
    for Host { name, slots } in listed {
        let slots = slots.or(wanted.jobs);
        if name == b":" {
            places.here = Some(slots);
            continue;
        }
        let agent = match for_hosts.first() {
            Some(template) => maker.by_template(template, Some(&name), slots)?,
            None => maker.by_ssh(&ssh, &name, slots),
        };
        places.add(agent, slots);
    }
    for template in others {
        places.add(maker.by_template(template, None, wanted.jobs)?, wanted.jobs);
    }
    if let Some(nodes) = args.slurm {
        let mut options = Vec::new();
        for word in &args.slurm_args {
            options.extend(split(word)?);
        }
        for (agent, slots) in maker.by_slurm((nodes as usize, wanted.jobs), &options)? {
            places.add(agent, slots);
        }
    }
    if places.agents.is_empty() && places.here.is_none() {
        return Err(Message::new("no host is named").tip("name some: --hosts 16/h1,h2"));
    }
    Ok(Some(places))
}

/// All hosts that are named, each once.
fn listed(args: &HostsArgs, lookup: &Lookup) -> Result<Vec<Host>, Message> {
    let mut listed = Vec::new();
    for word in &args.hosts {
        listed.extend(hosts_of(word.as_bytes())?);
    }
    for file in &args.hostfile {
        listed.extend(of_file(&lookup.cwd.join(file))?);
    }
    Ok(names::merged(listed))
}

/// How each of these hosts is reached, for a look at it.
///
/// # Errors
/// As [`places`].
pub(crate) fn agents(args: HostsArgs, lookup: &Lookup) -> Result<Vec<Agent>, Message> {
    let (launch, _) = super::launch(WorkerArgs::default(), lookup)?;
    let wanted = Wanted {
        worker: &WorkerArgs::default(),
        directory: None,
        env: &[],
        jobs: None,
        threads_per_job: None,
    };
    let places = places(args, &wanted, (&PoolConfig::new(launch), lookup))?;
    Ok(places.map_or_else(Vec::new, |places| places.agents))
}

impl Places {
    fn add(&mut self, agent: Agent, slots: Option<usize>) {
        self.agents.push(agent);
        // Whoever does not say so may have many.
        self.slots += slots.unwrap_or(16);
    }

    /// Whether nothing runs on this machine.
    pub(super) fn is_only_elsewhere(&self) -> bool {
        self.here.is_none()
    }

    /// About how many jobs run at the same time.
    pub(super) fn slots(&self, here: usize) -> usize {
        self.slots + self.here.map_or(0, |slots| slots.unwrap_or(here))
    }

    /// Enters them in the pool's configuration, which has as many workers here as it would
    /// have without them.
    pub(super) fn enter(self, silence: Option<Duration>, pool: &mut PoolConfig) {
        let here = match self.here {
            None => 0,
            Some(None) => pool.workers,
            Some(Some(slots)) => slots,
        };
        pool.workers = self.agents.len() + here;
        // Each host may have many jobs at once, and more that wait there.
        pool.max_pending = pool.max_pending.max(4 * self.slots).max(8192);
        pool.min_workers = pool.min_workers.map(|few| few.max(self.agents.len()));
        pool.silence = silence.unwrap_or(pool.silence);
        pool.agents = self.agents;
    }
}

/// Refuses ways to hosts that nobody would go.
///
/// # Errors
/// When there are any, or when hosts would be lost at once, or never.
fn check_ways(args: &HostsArgs, any_host: bool) -> Result<(), Message> {
    let mut ways = args.launch.iter().filter(|way| is_for_hosts(way));
    if let Some(way) = ways.next().or(args.ssh.as_ref())
        && !any_host
    {
        let shown = text::quoted(way.as_bytes());
        let what = format!("{shown} says how hosts are reached, and none is named");
        return Err(Message::new(what).tip("name some: --hosts 16/h1,h2"));
    }
    if let Some(way) = ways.next() {
        let shown = text::quoted(way.as_bytes());
        let what = format!("another --launch says already how hosts are reached: {shown}");
        return Err(Message::new(what).tip("one with {host} in it is for all of --hosts"));
    }
    match args.host_timeout {
        Some(time) if !SILENCES.contains(&time) => Err(Message::new(format!(
            "--host-timeout is {time:?}, and must be between 1s and 1d"
        ))),
        _ => Ok(()),
    }
}

/// Refuses what would not hold on other machines.
///
/// # Errors
/// When something was asked for that does not.
pub(super) fn check(refused: &[(bool, &str, &str)]) -> Result<(), Message> {
    match refused.iter().find(|(given, ..)| *given) {
        None => Ok(()),
        Some((_, option, tip)) => {
            let what = format!("{option} and jobs on other machines exclude each other");
            Err(Message::new(what).tip(*tip))
        }
    }
}

/// The hosts in a file, one on a line.
fn of_file(path: &Path) -> Result<Vec<Host>, Message> {
    let shown = text::quoted(path.as_os_str().as_bytes());
    let bytes = fs::read(path).map_err(|e| {
        let why = text::reason(&e);
        Message::new(format!("the file of hosts {shown} cannot be read: {why}"))
    })?;
    let mut hosts = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = match line.iter().position(|&byte| byte == b'#') {
            Some(comment) => &line[..comment],
            None => line,
        };
        hosts.extend(hosts_of(line.trim_ascii())?);
    }
    Ok(hosts)
}

/// What is asked of libraries for computing.
pub(super) fn threads(pool: &PoolConfig) -> Option<usize> {
    match pool.threads_per_job {
        ThreadsPerJob::Exactly(threads) => Some(threads),
        ThreadsPerJob::Share | ThreadsPerJob::Inherit => None,
    }
}

#[cfg(test)]
mod tests;
