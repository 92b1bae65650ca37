//! What the options about other machines mean: for each of them a command line that starts
//! an agent there and carries its stdin and stdout.

mod names;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::utsname::uname;

use self::names::{Host, expand, hosts_of};
use super::super::args::{HostsArgs, WorkerArgs};
use super::super::errors::Message;
use super::super::program::Lookup;
use super::super::words;
use crate::pool::{Agent, PoolConfig, ThreadsPerJob};
use crate::run::report::Clock;
use crate::run::text;

/// Before this a host that is dialled must have answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// How ssh is started. No terminal, no forwarding, no questions; and when the network is
/// gone, it is to notice at some time even if nobody else does.
const SSH: [&str; 13] = [
    "-T",
    "-x",
    "-a",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=15",
    "-o",
    "ServerAliveCountMax=3",
    "-o",
    "ClearAllForwardings=yes",
];

/// How srun is started. Without `-u` what the agent says waits for a line to end.
const SRUN: [&str; 5] = ["srun", "-Q", "-u", "-N1", "-n1"];

/// What puts something into the stream that is not the agent's, or leaves something out.
const CORRUPTS: [&str; 4] = [
    "SLURM_LABELIO",
    "SLURM_STDINMODE",
    "SLURM_STDOUTMODE",
    "SLURM_STDERRMODE",
];

/// What a shell there is given: the program as it is called here, or else whatever is
/// found on the way that it knows.
const START: &str = "if [ -x \"$0\" ]; then exec \"$0\" \"$@\"; else exec orchestrator \"$@\"; fi";

/// The same, for where the program may have to be brought: this many bytes of it come on
/// stdin when they are asked for. It has a name that is made of what is in it.
const BRING: &str = "d=${XDG_CACHE_HOME:-$HOME/.cache}/orchestrator; f=$d/agent-$0; \
    if [ ! -x \"$f\" ]; then \
    if [ \"$(uname -sm)\" != \"$1\" ]; then \
    echo \"it is a $(uname -sm), and the program is for $1\" >&2; exit 126; fi; \
    mkdir -p \"$d\" && : > \"$f.$$\" && printf 'orchestrator-bootstrap NEED\\n' && \
    head -c \"$2\" > \"$f.$$\" && [ \"$(wc -c < \"$f.$$\")\" -eq \"$2\" ] && \
    chmod 700 \"$f.$$\" && mv -f \"$f.$$\" \"$f\" || { rm -f \"$f.$$\"; exit 74; }; fi; \
    shift 2; exec \"$f\" \"$@\"";

/// This program, to be brought to hosts.
#[derive(Debug)]
struct Brought {
    program: PathBuf,
    /// What it is called there.
    hash: String,
    size: u64,
    /// On which machines it runs, as `uname -sm` says.
    system: String,
}

impl Brought {
    fn new() -> Result<Brought, Message> {
        let program = PathBuf::from("/proc/self/exe");
        let cannot = |e: &std::io::Error| {
            let why = text::reason(e);
            Message::new(format!("--bootstrap: this program cannot be read: {why}"))
        };
        let bytes = fs::read(&program).map_err(|e| cannot(&e))?;
        let here = uname().map_err(|e| cannot(&e.into()))?;
        let words = [here.sysname(), here.machine()];
        Ok(Brought {
            program,
            hash: blake3::hash(&bytes).to_hex()[..32].to_owned(),
            size: bytes.len() as u64,
            system: words.map(|word| word.to_string_lossy()).join(" "),
        })
    }
}

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
        return match args.ssh.is_some()
            || args.agent.is_some()
            || args.bootstrap
            || args.host_timeout.is_some()
        {
            true => Err(Message::new(
                "no other machine is named: --ssh, --agent, --bootstrap and --host-timeout are about those",
            )
            .tip("name them: --hosts, --hostfile, --slurm or --launch")),
            false => Ok(None),
        };
    }
    let maker = Maker::new(&args, wanted, pool, lookup)?;
    let mut listed = Vec::new();
    for word in &args.hosts {
        listed.extend(hosts_of(word.as_bytes())?);
    }
    for file in &args.hostfile {
        listed.extend(of_file(&lookup.cwd.join(file))?);
    }
    let mut places = Places {
        agents: Vec::new(),
        here: None,
        slots: 0,
    };
    let per_host = args.launch.iter().find(|template| is_for_hosts(template));
    let ssh = match &args.ssh {
        Some(ssh) => split(ssh)?,
        None => vec!["ssh".into()],
    };
    for Host { name, slots } in names::merged(listed) {
        if name == b":" {
            places.here = Some(slots.or(wanted.jobs));
            continue;
        }
        let slots = slots.or(wanted.jobs);
        places.add(
            match per_host {
                Some(template) => maker.by_template(template, Some(&name), slots)?,
                None => maker.by_ssh(&ssh, &name, slots),
            },
            slots,
        );
    }
    for template in args
        .launch
        .iter()
        .filter(|template| !is_for_hosts(template))
    {
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

/// Makes agents.
struct Maker {
    /// Where this program is taken to be elsewhere.
    program: OsString,
    /// What is brought where it is not.
    brought: Option<Brought>,
    /// Whether that was said, and nothing else will do.
    exactly: bool,
    /// Behind the program, before the number of workers.
    args: Vec<OsString>,
    cwd: PathBuf,
}

impl Maker {
    fn new(
        args: &HostsArgs,
        wanted: &Wanted<'_>,
        pool: &PoolConfig,
        lookup: &Lookup,
    ) -> Result<Maker, Message> {
        let own = std::env::current_exe().ok();
        let program = args.agent.clone().or(own.map(PathBuf::into_os_string));
        let silence = args.host_timeout.unwrap_or(pool.silence);
        let mut all: Vec<OsString> = vec!["agent".into()];
        let mut add = |option: &str, value: &OsStr| {
            let mut word = OsString::from(option);
            word.push("=");
            word.push(value);
            all.push(word);
        };
        let time = |time: Duration| OsString::from(format!("{}ms", time.as_millis()));
        // Long before its jobs are given to others, so that none runs twice at once.
        add("--silence", &time(silence.mul_f64(0.6)));
        add("--grace", &time(pool.grace));
        let directory = wanted.directory.unwrap_or(&lookup.cwd);
        add("--workdir", directory.as_os_str());
        if let Some(threads) = wanted.threads_per_job {
            add("--threads-per-job", threads.to_string().as_ref());
        }
        if let Some(nice) = pool.nice {
            add("--nice", nice.to_string().as_ref());
        }
        if let Some(bytes) = pool.memory_per_worker {
            add("--memory-limit", bytes.to_string().as_ref());
        }
        if let Some(name) = &pool.slot_variable {
            add("--process-slot-var", name);
        }
        let wear = [
            ("--max-jobs-per-worker", pool.max_jobs_per_worker),
            ("--max-rss-per-worker", pool.max_rss_per_worker),
            ("--max-files-per-worker", pool.max_files_per_worker),
        ];
        for (option, value) in wear {
            if let Some(value) = value {
                add(option, value.to_string().as_ref());
            }
        }
        for variable in wanted.env {
            exported(variable, |value| add("--setenv", &value))?;
        }
        if let Some(worker) = &wanted.worker.worker {
            add("--worker", worker);
            for arg in &wanted.worker.worker_arg {
                add("--worker-arg", arg);
            }
        }
        if wanted.directory.is_some() {
            all.push("--make-workdir".into());
        }
        Ok(Maker {
            program: program.unwrap_or_else(|| "orchestrator".into()),
            brought: args.bootstrap.then(Brought::new).transpose()?,
            exactly: args.agent.is_some(),
            args: all,
            cwd: lookup.cwd.clone(),
        })
    }

    /// The command line that is to run there, without any shell.
    fn agent(&self, slots: Option<usize>) -> Vec<OsString> {
        let mut words = vec![self.program.clone()];
        words.extend(self.args.iter().cloned());
        words.extend(slots.map(|slots| format!("--workers={slots}").into()));
        words
    }

    /// The same, for where the program may be in another place.
    fn sought(&self, slots: Option<usize>) -> Vec<OsString> {
        let agent = self.agent(slots);
        if let Some(brought) = &self.brought {
            let size = brought.size.to_string();
            let shell = ["sh", "-c", BRING, &brought.hash, &brought.system, &size];
            let shell = shell.into_iter().map(OsString::from);
            return shell.chain(agent.into_iter().skip(1)).collect();
        }
        if self.exactly {
            return agent;
        }
        let shell = ["sh", "-c", START].map(OsString::from);
        shell.into_iter().chain(agent).collect()
    }

    fn made(&self, host: &[u8], words: Vec<OsString>) -> Agent {
        // Between this process and the launcher stands what ends it with this process.
        let launch = [OsString::from("launch"), OsString::from("--")];
        Agent {
            host: Arc::from(text::escaped(host)),
            learns_name: false,
            launch: crate::pool::Launch {
                name: text::escaped(host),
                args: launch.into_iter().chain(words).collect(),
                current_dir: Some(self.cwd.clone()),
                ..crate::pool::Launch::program("/proc/self/exe")
            },
            unset: CORRUPTS.iter().map(OsString::from).collect(),
            patience: Some(PATIENCE),
            clean_up: None,
            bring: self.brought.as_ref().map(|brought| brought.program.clone()),
            dialled: true,
        }
    }

    fn by_ssh(&self, ssh: &[OsString], host: &[u8], slots: Option<usize>) -> Agent {
        let mut words = ssh.to_vec();
        words.extend(SSH.iter().map(OsString::from));
        words.push("--".into());
        words.push(OsString::from_vec(host.to_vec()));
        // What stands behind the host is read by the user's shell there, whichever that is.
        let mut line = b"exec".to_vec();
        for word in self.sought(slots) {
            line.push(b' ');
            line.extend(quoted(word.as_bytes()));
        }
        words.push(OsString::from_vec(line));
        self.made(host, words)
    }

    fn by_template(
        &self,
        template: &OsStr,
        host: Option<&[u8]>,
        slots: Option<usize>,
    ) -> Result<Agent, Message> {
        let mut words = Vec::new();
        let mut has_agent = false;
        for word in split(template)? {
            if word == "{agent}" {
                words.extend(self.agent(slots));
                has_agent = true;
                continue;
            }
            let mut bytes = word.into_vec();
            if let Some(host) = host {
                bytes = replaced(&bytes, b"{host}", host);
            }
            if find(&bytes, b"{agent}").is_some() {
                let line: Vec<Vec<u8>> = self
                    .agent(slots)
                    .iter()
                    .map(|word| quoted(word.as_bytes()))
                    .collect();
                bytes = replaced(&bytes, b"{agent}", &line.join(&b' '));
                has_agent = true;
            }
            words.push(OsString::from_vec(bytes));
        }
        let shown = text::quoted(template.as_bytes());
        if !has_agent {
            return Err(Message::new(format!("--launch {shown} says nowhere {{agent}}"))
                .tip("that stands for what is to run there: --launch 'podman run -i --rm image {agent}'"));
        }
        let name = host.unwrap_or_else(|| words[0].as_bytes()).to_vec();
        Ok(self.made(&name, words))
    }

    /// One for each node of the allocation in which this runs, or so many that each get
    /// one of their own.
    fn by_slurm(
        &self,
        (nodes, slots): (usize, Option<usize>),
        options: &[OsString],
    ) -> Result<Vec<(Agent, Option<usize>)>, Message> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut start = SRUN.map(OsString::from).to_vec();
        let allocation = variable("SLURM_JOB_ID").and(variable("SLURM_JOB_NODELIST"));
        let Some(list) = allocation else {
            let nodes = nodes.max(1);
            // Unlike any other's, so that what a launcher leaves behind can be named.
            let now = Clock::start().wall.duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default();
            let salt = now.as_micros() % 1_000_000_000_000;
            start.extend(["--exclusive", "--signal=TERM@60"].map(OsString::from));
            start.extend(options.iter().cloned());
            let agents = (1..=nodes).map(|n| {
                let name = format!("orchestrator-{salt}-{n}");
                let mut words = start.clone();
                words.extend(["-J", &name].map(OsString::from));
                words.extend(self.sought(slots));
                if slots.is_none() {
                    words.push("--slurm".into());
                }
                let agent = Agent {
                    learns_name: true,
                    clean_up: Some(scancel(&name)),
                    ..self.queued(format!("slurm-{n}").as_bytes(), words)
                };
                (agent, slots)
            });
            return Ok(agents.collect());
        };
        let cpus = variable("SLURM_JOB_CPUS_PER_NODE");
        let cpus = names::cpus_per_node(cpus.unwrap_or_default().as_bytes());
        let mut names = expand(list.as_bytes())?;
        if nodes > 0 {
            names.truncate(nodes);
        }
        start.extend(["--overlap", "--cpu-bind=none", "--mem=0"].map(OsString::from));
        start.extend(options.iter().cloned());
        let agents = names.into_iter().enumerate().map(|(at, name)| {
            let slots = slots.or(cpus.get(at).copied());
            let there = [OsString::from("-w"), OsString::from_vec(name.clone())];
            let words = start.iter().cloned().chain(there).chain(self.sought(slots));
            (self.queued(&name, words.collect()), slots)
        });
        Ok(agents.collect())
    }

    /// One whose turn may come in some hours.
    fn queued(&self, host: &[u8], words: Vec<OsString>) -> Agent {
        Agent {
            patience: None,
            dialled: false,
            ..self.made(host, words)
        }
    }
}

/// Ends what has this name in Slurm's queue: when a launcher was killed with all that
/// belongs to it, nobody else does.
fn scancel(name: &str) -> crate::pool::Launch {
    let words = ["launch", "--", "scancel", "-Q", "-n", name];
    crate::pool::Launch {
        args: words.map(OsString::from).to_vec(),
        ..crate::pool::Launch::program("/proc/self/exe")
    }
}

/// Gives each variable of that name, with its value, as this process has it; a function of
/// bash has a name of its own.
///
/// # Errors
/// When all variables are meant: most are about this machine.
fn exported(name: &OsString, mut give: impl FnMut(OsString)) -> Result<(), Message> {
    if name == "_" {
        return Err(Message::new(
            "--env _ stands for all variables, most of which are about this machine",
        )
        .tip("name those that jobs need on other machines: --env NAME"));
    }
    let mut function = OsString::from("BASH_FUNC_");
    function.push(name);
    function.push("%%");
    for name in [name, &function] {
        if let Some(value) = std::env::var_os(name) {
            let mut word = name.clone();
            word.push("=");
            word.push(value);
            give(word);
        }
    }
    Ok(())
}

fn is_for_hosts(template: &OsString) -> bool {
    find(template.as_bytes(), b"{host}").is_some()
}

/// A command line, taken apart.
///
/// # Errors
/// When a quote has no end, or there is nothing in it.
fn split(line: &OsStr) -> Result<Vec<OsString>, Message> {
    let shown = text::quoted(line.as_bytes());
    match words::split(line.as_bytes()) {
        Some(words) if !words.is_empty() => Ok(words.into_iter().map(OsString::from_vec).collect()),
        Some(_) => Err(Message::new(format!("{shown} is no command line"))),
        None => Err(Message::new(format!(
            "{shown} has a quote or a backslash without an end"
        ))),
    }
}

/// As any shell reads it that knows single quotes.
fn quoted(word: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(byte);
    if !word.is_empty() && word.iter().all(plain) {
        return word.to_vec();
    }
    let inner = replaced(word, b"'", b"'\\''");
    [b"'", &inner[..], b"'"].concat()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn replaced(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut rest = text;
    let mut all = Vec::with_capacity(text.len());
    while let Some(at) = find(rest, what) {
        all.extend_from_slice(&rest[..at]);
        all.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    all.extend_from_slice(rest);
    all
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
