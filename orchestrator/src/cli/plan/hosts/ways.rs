//! How a host is reached: by ssh, through a template, by Slurm.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, UNIX_EPOCH};

use super::super::super::errors::Message;
use super::maker::Maker;
use super::names::{self, expand};
use super::quote::{find, quoted, replaced, split};
use crate::pool::{Agent, Launch};
use crate::run::report::Clock;
use crate::run::text;

/// How ssh is started. No terminal, no forwarding, no questions; and when the network is
/// gone, it is to notice at some time even if nobody else does ([`keep_alive`]).
const SSH: [&str; 11] = [
    "-T",
    "-x",
    "-a",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveCountMax=3",
    "-o",
    "ClearAllForwardings=yes",
];

/// How srun is started. Without `-u` what the agent says waits for a line to end.
const SRUN: [&str; 5] = ["srun", "-Q", "-u", "-N1", "-n1"];

impl Maker {
    pub(super) fn by_ssh(&self, ssh: &[OsString], host: &[u8], slots: Option<usize>) -> Agent {
        let mut words = ssh.to_vec();
        words.extend(SSH.iter().map(OsString::from));
        words.extend([OsString::from("-o"), keep_alive(self.silence).into()]);
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

    pub(super) fn by_template(
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
    pub(super) fn by_slurm(
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
            let whole = ["--exclusive", "--cpu-bind=none", "--signal=TERM@60"];
            start.extend(whole.map(OsString::from));
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
fn scancel(name: &str) -> Launch {
    let words = ["launch", "--", "scancel", "-Q", "-n", name];
    Launch {
        args: words.map(OsString::from).to_vec(),
        ..Launch::program("/proc/self/exe")
    }
}

/// How often ssh asks whether the host is there. When that was not answered three times, it
/// ends, and the jobs are given to others at once: so not before the host is silent for too
/// long, or the agent there might still run them.
fn keep_alive(silence: Duration) -> String {
    let seconds = silence.as_secs().div_ceil(2).max(15);
    format!("ServerAliveInterval={seconds}")
}
