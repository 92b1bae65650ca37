//! The script for Slurm in a Slurm cluster, made up on this machine by `scripts/slurm-world`.

use super::*;

/// A cluster, which is gone when this is.
struct Cluster<'a> {
    env: &'a TestEnv,
    conf: String,
}

/// What the world's script says, and whether it did what it was told.
fn world(env: &TestEnv, words: &[&str]) -> Done {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/slurm-world");
    let base = env.path().join("cluster");
    let mut command = env.command(script);
    command.arg("--base").arg(base).args(words);
    env.run(command, "")
}

impl Cluster<'_> {
    fn up(env: &TestEnv) -> Option<Cluster<'_>> {
        let check = world(env, &["check"]);
        if check.code() != 0 {
            let reason = format!("{}{}", check.stdout(), check.stderr);
            not_tested("the_script_for_slurm_goes_on_where_it_was", &reason);
            return None;
        }
        let mut cluster = Cluster {
            env,
            conf: String::new(),
        };
        let up = world(env, &["up", "--nodes", "1"]);
        assert_eq!(up.code(), 0, "{}", up.stderr);
        let said = world(env, &["env"]);
        let conf = said
            .stdout()
            .lines()
            .find_map(|line| line.strip_prefix("export SLURM_CONF="))
            .unwrap();
        cluster.conf = conf.trim_matches(['\'', '"']).to_owned();
        Some(cluster)
    }

    fn slurm(&self, name: &str, args: &[&str]) -> Done {
        let mut command = program(self.env, name, args);
        command.env("SLURM_CONF", &self.conf);
        self.env.run(command, "")
    }

    /// Submits the script of the page; gives the number of its job.
    fn submit(&self) -> String {
        let script = self.env.path().join("squares.sh");
        let args = [
            "--parsable",
            "--job-name=squares",
            "--output=log",
            "--open-mode=append",
        ];
        let done = self.slurm("sbatch", &[&args[..], &[script.to_str().unwrap()]].concat());
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stdout().trim().to_owned()
    }

    /// How this job has ended; nothing while it has not.
    fn ended(&self, job: &str) -> Option<String> {
        let done = self.slurm("scontrol", &["show", "job", job]);
        let state = done.stdout().split_once("JobState=")?.1;
        let state = state.split_whitespace().next()?;
        (!["PENDING", "CONFIGURING", "RUNNING", "COMPLETING"].contains(&state))
            .then(|| state.to_owned())
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        world(self.env, &["down"]);
    }
}

#[test]
fn the_script_for_slurm_goes_on_where_it_was() {
    let env = kitchen();
    script(
        &env,
        "simulate",
        "echo $1 >> begun; test $1 != 4 || test -e time || exec sleep 1000\necho $(($1 * $1))",
    );
    env.file("squares.sh", recipe("sbatch"));
    let Some(cluster) = Cluster::up(&env) else {
        return;
    };
    let begun = || fs::read_to_string(env.path().join("begun")).unwrap_or_default();
    let first = cluster.submit();
    eventually("the third job runs", || begun().contains('4'));
    let recorded = || {
        let results = program(&env, "orchestrator", &["results", "squares.db"]);
        env.run(results, "").stdout.len() == "1\n4\n".len()
    };
    eventually("two are done", recorded);
    // What Slurm sends two minutes before the time is up.
    let warned = cluster.slurm("scancel", &["--batch", "--signal=TERM", &first]);
    assert_eq!(warned.code(), 0, "{}", warned.stderr);
    eventually("the script has ended", || cluster.ended(&first).is_some());
    assert_eq!(
        cluster.ended(&first).as_deref(),
        Some("FAILED"),
        "{}",
        read(&env, "log")
    );
    env.file("time", "");
    let second = cluster.submit();
    eventually("the rest is done", || cluster.ended(&second).is_some());
    let log = read(&env, "log");
    assert_eq!(
        cluster.ended(&second).as_deref(),
        Some("COMPLETED"),
        "{log}"
    );
    let mut begun: Vec<String> = begun().lines().map(String::from).collect();
    begun.sort();
    assert_eq!(begun, ["1", "2", "4", "4"], "{log}");
    let mut results = program(&env, "orchestrator", &["results", "squares.db"]);
    results.stderr(std::process::Stdio::null());
    let results = env.run(results, "");
    let mut results: Vec<&str> = results.stdout().lines().collect();
    results.sort_unstable();
    assert_eq!(results, ["1", "16", "4"]);
}
