//! The command line of an agent, and what starts it where the program may be in another
//! place, or must be brought first.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::utsname::uname;

use super::super::super::args::HostsArgs;
use super::super::super::errors::Message;
use super::super::super::program::Lookup;
use super::Wanted;
use crate::pool::{Agent, Launch, PoolConfig};
use crate::run::text;

/// Before this a host that is dialled must have answered.
const PATIENCE: Duration = Duration::from_secs(60);

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
    t=$f.$(uname -n).$$; mkdir -p \"$d\" && : > \"$t\" && printf 'orchestrator-bootstrap NEED\\n' && \
    head -c \"$2\" > \"$t\" && [ \"$(wc -c < \"$t\")\" -eq \"$2\" ] && \
    chmod 700 \"$t\" && mv -f \"$t\" \"$f\" || { rm -f \"$t\"; exit 74; }; fi; \
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

/// Makes agents.
pub(super) struct Maker {
    /// Where this program is taken to be elsewhere.
    program: OsString,
    /// What is brought where it is not.
    brought: Option<Brought>,
    /// Whether that was said, and nothing else will do.
    exactly: bool,
    /// Behind the program, before the number of workers.
    args: Vec<OsString>,
    /// How long a host may be silent.
    pub(super) silence: Duration,
    cwd: PathBuf,
}

impl Maker {
    pub(super) fn new(
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
        add("--silence", &time(Agent::patience(silence)));
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
            silence,
            cwd: lookup.cwd.clone(),
        })
    }

    /// The command line that is to run there, without any shell.
    pub(super) fn agent(&self, slots: Option<usize>) -> Vec<OsString> {
        let mut words = vec![self.program.clone()];
        words.extend(self.args.iter().cloned());
        words.extend(slots.map(|slots| format!("--workers={slots}").into()));
        words
    }

    /// The same, for where the program may be in another place.
    pub(super) fn sought(&self, slots: Option<usize>) -> Vec<OsString> {
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

    pub(super) fn made(&self, host: &[u8], words: Vec<OsString>) -> Agent {
        // Between this process and the launcher stands what ends it with this process.
        let launch = [OsString::from("launch"), OsString::from("--")];
        Agent {
            host: Arc::from(text::escaped(host)),
            learns_name: false,
            launch: Launch {
                name: text::escaped(host),
                args: launch.into_iter().chain(words).collect(),
                current_dir: Some(self.cwd.clone()),
                ..Launch::program("/proc/self/exe")
            },
            unset: CORRUPTS.iter().map(OsString::from).collect(),
            patience: Some(PATIENCE),
            clean_up: None,
            bring: self.brought.as_ref().map(|brought| brought.program.clone()),
            dialled: true,
        }
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
